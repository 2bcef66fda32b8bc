// Starts server.mjs for the tests as its users do, but without the environment variables of the developer.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export function spawnServer(settings) {
  const env = { PATH: process.env.PATH, PORT: "0", ...settings };
  return spawn(process.execPath, ["server.mjs"], { cwd: import.meta.dirname, env });
}

/** Resolves to the address of an in-memory server on a free port, and `stop`, which resolves to [exit code, signal]. */
export async function startServer(settings = {}) {
  const child = spawnServer(settings);
  child.stderr.pipe(process.stderr);
  const stop = () => {
    child.kill("SIGTERM");
    return once(child, "exit");
  };
  const [line] = await once(createInterface(child.stdout), "line");
  return { url: line.replace("listening on ", ""), stop };
}
