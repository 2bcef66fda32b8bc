// Prints the size of the client, minified and compressed, and fails if it is over its limit.
// The import of the replica by a call is left out: as a part of one file, it would wrap each module in a function.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const LIMITS = { // bytes
  core: { limit: 6_000, code: 'export * from "./index.js";' },
  "core and sync": { limit: 14_000, code: 'export * from "./index.js"; export * from "./replica/replica.js";' },
};

const leaveOut = {
  name: "leave out what a call imports",
  setup: (build) => build.onResolve({ filter: /./ }, ({ kind }) => (kind === "dynamic-import" ? { external: true } : undefined)),
};

for (const [name, { limit, code }] of Object.entries(LIMITS)) {
  const stdin = { contents: code, resolveDir: new URL("../src", import.meta.url).pathname };
  const { outputFiles: [file] } = await build(
    { stdin, plugins: [leaveOut], bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  const size = gzipSync(file.contents, { level: 9 }).length;
  console.log(`${name}: ${size} bytes minified and compressed, of ${limit}`);
  if (size > limit) process.exitCode = 1;
}
