import type { NextConfig } from "next";
import { join } from "node:path";

// The client is a folder of this repository. An app with a client from a registry needs no configuration.
const repository = join(import.meta.dirname, "../..");

export default { turbopack: { root: repository }, outputFileTracingRoot: repository } satisfies NextConfig;
