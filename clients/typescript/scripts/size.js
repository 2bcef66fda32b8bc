// Prints the size of the client, minified and compressed, and fails if it is over its limit.
import { build } from "esbuild";
import { existsSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMITS = { // bytes
  core: { limit: 6_000, code: 'export * from "./index.js";', external: ["./replica/*"] },
  "core and sync": { limit: 14_000, code: 'export * from "./index.js"; export * from "./replica/replica.js";' },
};

for (const [name, { limit, code, external }] of Object.entries(LIMITS)) {
  if (name !== "core" && !existsSync(new URL("../src/replica/replica.js", import.meta.url))) continue;
  const stdin = { contents: code, resolveDir: new URL("../src", import.meta.url).pathname };
  const { outputFiles: [file] } = await build(
    { stdin, external, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  const size = gzipSync(file.contents, { level: 9 }).length;
  console.log(`${name}: ${size} bytes minified and compressed, of ${limit}`);
  if (size > limit) process.exitCode = 1;
}
