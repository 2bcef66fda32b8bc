// Generates src/types/types.gen.ts from the part of the OpenAPI document on standard input. `make client-types` runs it.
import { createClient } from "@hey-api/openapi-ts";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const digest = (data) => createHash("sha256").update(data).digest("hex");

const document = await text(process.stdin);
const folder = await mkdtemp(join(tmpdir(), "doable-types-"));
try {
  await createClient({
    input: JSON.parse(document),
    output: { path: folder, entryFile: false },
    plugins: ["@hey-api/typescript"],
    logs: { level: "error" },
  });
  const contents = await readFile(join(folder, "types.gen.ts"), "utf8");
  const header = `// document ${digest(document)}\n// contents ${digest(contents)}\n`;
  await writeFile(new URL("../src/types/types.gen.ts", import.meta.url), header + contents);
} finally {
  await rm(folder, { recursive: true });
}
