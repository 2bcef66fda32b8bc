// Serves auth.mjs over HTTP. PORT=0 uses a free port; HOST=0.0.0.0 allows other machines to connect.
import { once } from "node:events";
import { createServer } from "node:http";
import { toNodeHandler } from "better-auth/node";

const { env } = process;
const server = createServer();

try {
  const { createAuth, pool } = await import("./auth.mjs");
  server.listen(Number(env.PORT || 3000), env.HOST || "127.0.0.1");
  await once(server, "listening");

  const origin = `http://localhost:${server.address().port}`;
  const handler = createAuth(env.BETTER_AUTH_URL || origin).then(toNodeHandler); // the port of PORT=0 is known only now
  server.on("request", async (request, response) => (await handler)(request, response));
  await handler;

  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => server.close(() => pool?.end()));
  }
  console.log(`listening on ${origin}`);
} catch (error) {
  console.error(`Better Auth did not start: ${error.message || error.code}`);
  process.exit(1);
}
