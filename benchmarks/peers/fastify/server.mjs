// The tasks API as a Fastify expert would write it: named statements on a pool, schema-compiled serialisers, a verifier
// that remembers tokens, no logger.
import Fastify from "fastify";
import { createVerifier } from "fast-jwt";
import pg from "pg";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS tasks (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     text        NOT NULL,
    title       text        NOT NULL,
    description text,
    completed   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS tasks_user_id ON tasks (user_id, id);
`;
const FIELDS = "id, user_id, title, description, completed, created_at, updated_at";

// A bigint fits a number here, and a timestamp goes out as the driver read it: no Date is made for it.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => text.replace(" ", "T") + ":00");

const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: Number(process.env.POOL_SIZE),
  idleTimeoutMillis: 0,
});
pool.on("error", () => {}); // an idle connection that breaks is replaced
const verify = createVerifier({ key: process.env.SECRET, algorithms: ["HS256"], cache: 10_000 });

// A name makes pg prepare the statement, once for each connection.
const ask = (name, text, values) => pool.query({ name, text, values });

const task = {
  type: "object",
  properties: {
    id: { type: "integer" },
    user_id: { type: "string" },
    title: { type: "string" },
    description: { type: "string", nullable: true },
    completed: { type: "boolean" },
    created_at: { type: "string" },
    updated_at: { type: "string" },
  },
};
const tasks = { type: "array", items: task };
const title = { type: "string", minLength: 1, maxLength: 200 };
const description = { type: "string", maxLength: 1000, nullable: true };
const params = { type: "object", properties: { user_id: { type: "string" }, id: { type: "integer", minimum: 1 } } };
const querystring = { type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 1000 } } };
const creation = { type: "object", required: ["title"], properties: { title, description } };
const change = { type: "object", properties: { title, description, completed: { type: "boolean" } } };

const app = Fastify({ logger: false });

app.decorateRequest("user", "");
app.addHook("onRequest", async (request, reply) => {
  const header = request.headers.authorization;
  if (header === undefined || !header.startsWith("Bearer ")) return reply.code(401).send({ detail: "No token." });
  try {
    request.user = verify(header.slice(7)).sub;
  } catch {
    return reply.code(401).send({ detail: "Invalid token." });
  }
  if (request.params.user_id !== request.user) return reply.code(403).send({ detail: "Not yours." });
});

const one = (reply, { rows }) => (rows.length ? rows[0] : reply.code(404).send({ detail: "No such task." }));

app.get("/api/:user_id/tasks", { schema: { params, querystring, response: { 200: tasks } } }, async (request) => {
  const { limit = null } = request.query;
  const text = `SELECT ${FIELDS} FROM tasks WHERE user_id = $1 ORDER BY id DESC LIMIT $2`;
  return (await ask("list", text, [request.user, limit])).rows;
});

app.post("/api/:user_id/tasks", { schema: { params, body: creation, response: { 201: task } } }, async (request, reply) => {
  const text = `INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING ${FIELDS}`;
  const { rows } = await ask("create", text, [request.user, request.body.title, request.body.description ?? null]);
  reply.code(201);
  return rows[0];
});

app.get("/api/:user_id/tasks/:id", { schema: { params, response: { 200: task } } }, async (request, reply) => {
  const text = `SELECT ${FIELDS} FROM tasks WHERE user_id = $1 AND id = $2`;
  return one(reply, await ask("find", text, [request.user, request.params.id]));
});

app.patch("/api/:user_id/tasks/:id", { schema: { params, body: change, response: { 200: task } } }, async (request, reply) => {
  const { title, description, completed } = request.body;
  const text = `UPDATE tasks SET title = coalesce($3, title), description = CASE WHEN $4 THEN $5 ELSE description END,
    completed = coalesce($6, completed), updated_at = now() WHERE user_id = $1 AND id = $2 RETURNING ${FIELDS}`;
  const given = [title ?? null, description !== undefined, description ?? null, completed ?? null];
  return one(reply, await ask("update", text, [request.user, request.params.id, ...given]));
});

app.patch("/api/:user_id/tasks/:id/complete", { schema: { params, response: { 200: task } } }, async (request, reply) => {
  const text = `UPDATE tasks SET completed = NOT completed, updated_at = now() WHERE user_id = $1 AND id = $2
    RETURNING ${FIELDS}`;
  return one(reply, await ask("toggle", text, [request.user, request.params.id]));
});

await pool.query(SCHEMA);
await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
process.on("SIGTERM", () => process.exit(0));
