// The tasks API with Doable's guarantees, as a team that knows Fastify would write it: versions, conditions and ETags, a
// quota, a trash, validation, problem bodies, request ids and a log. What is slow is made once: statements, serialisers,
// validators, the parts of headers that do not change.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import { createVerifier } from "fast-jwt";
import pino from "pino";
import { ask, start } from "./database.mjs";
import { cleanTask, completion, deletion, draft, patch, problemsOf } from "./rules.mjs";
import { etagOf, listEtag, tagsOf, knows } from "./conditions.mjs";
import { task, tasks } from "./shapes.mjs";

const QUOTA = 10_000;
const MAXIMUM_PAGE = 1000;
const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;
const ID = /^[1-9][0-9]{0,15}$/;
const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";

const TITLES = {
  400: ["malformed_json", "Malformed JSON"],
  401: ["invalid_token", "Invalid token"],
  403: ["forbidden", "Forbidden"],
  404: ["not_found", "Not found"],
  409: ["task_quota_exceeded", "Task quota exceeded"],
  412: ["version_mismatch", "Version mismatch"],
  413: ["payload_too_large", "Payload too large"],
  415: ["unsupported_media_type", "Unsupported media type"],
  422: ["validation_error", "Validation error"],
  500: ["internal_error", "Internal error"],
};

class Problem extends Error {
  constructor(status, detail, more = {}) {
    super(detail);
    this.statusCode = status;
    this.more = more;
  }
}

// Lines gather in memory and are written many at a time.
const lines = pino.destination({ fd: 1, minLength: 8192, sync: false });
const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, lines);
setInterval(() => lines.flush(), 100).unref();

const prefix = randomBytes(8).toString("hex");
let number = 0;
const verify = createVerifier({ key: process.env.SECRET, algorithms: ["HS256"], cache: 10_000 });

const app = Fastify({
  loggerInstance: logger,
  disableRequestLogging: true,
  bodyLimit: 64 * 1024,
  ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: true } },
  genReqId(request) {
    const sent = request.headers["x-request-id"];
    return sent !== undefined && REQUEST_ID.test(sent) ? sent : `${prefix}-${(++number).toString(16)}`;
  },
});
app.addContentTypeParser("application/merge-patch+json", { parseAs: "string" }, app.getDefaultJsonParser("error", "error"));
app.removeContentTypeParser("text/plain");

app.decorateRequest("user", "");
app.addHook("onRequest", async (request, reply) => {
  reply.headers({
    "x-request-id": request.id,
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
    vary: "Authorization, Origin",
  });
  const header = request.headers.authorization;
  if (header === undefined || !header.startsWith("Bearer ")) throw new Problem(401, "Send a bearer token.");
  try {
    request.user = verify(header.slice(7)).sub;
  } catch {
    throw new Problem(401, "The token is expired, or is not signed by a trusted key.");
  }
  const named = request.params.user_id;
  if (named !== request.user && named !== "me") throw new Problem(403, "The path names another user than the token does.");
});
app.addHook("onResponse", async (request, reply) => {
  logger.info(
    {
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      duration_ms: Math.round(reply.elapsedTime * 100) / 100,
      user_id: request.user || null,
      client_address: request.ip,
      request_id: request.id,
    },
    "request",
  );
});

app.setErrorHandler((error, request, reply) => {
  const status = error.validation ? 422 : (error.statusCode ?? 500);
  const [code, title] = TITLES[status] ?? TITLES[500];
  if (status === 500) logger.error(error);
  if (status === 401) reply.header("www-authenticate", 'Bearer error="invalid_token"');
  const detail = status === 500 ? "Something went wrong here." : error.validation ? "The request breaks a rule." : error.message;
  const errors = error.validation ? { errors: problemsOf(error) } : undefined;
  reply.code(status).type(PROBLEM_TYPE);
  return reply.send(
    JSON.stringify({ type: `urn:problem:${code}`, title, status, detail, code, ...errors, request_id: request.id, ...error.more }),
  );
});
app.setNotFoundHandler(() => {
  throw new Problem(404, "There is no such route.");
});

const idOf = (request) => {
  if (!ID.test(request.params.id)) throw new Problem(404, "You have no task with this id.");
  return Number(request.params.id);
};

// The version that the writer expects, from If-Match or the body; null for any. A tag that is no version matches nothing.
const expectedVersion = (request) => {
  const header = request.headers["if-match"];
  const sent = request.body?.if_version ?? null;
  if (header === undefined || header === "*") return sent;
  const versions = tagsOf(header);
  if (versions === null) throw new Problem(422, "If-Match must be * or ETags in quotes.");
  const version = versions.length === 1 && /^[1-9][0-9]*$/.test(versions[0]) ? Number(versions[0]) : 0;
  return sent === null || sent === version ? version : 0;
};

// The task as the write left it, or why it was not written: it is gone, it has another version, or it is so already.
const written = async (request, reply, id, version, rows) => {
  let row = rows[0];
  if (row === undefined) {
    [row] = await ask("find", [request.user, id]);
    if (row === undefined) throw new Problem(404, "You have no task with this id.");
    if (version !== null && row.version !== version) {
      throw new Problem(412, "The task has changed since. Read it again, and try again.", { current: row });
    }
  }
  reply.header("etag", etagOf(row));
  return row;
};

const numberOf = (query, name, most) => {
  const text = query[name];
  if (text === undefined || text === "") return null;
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) {
    throw new Problem(422, `${name} is wrong.`, { errors: [{ field: name, message: `must be from 1 to ${most}` }] });
  }
  return value;
};

const STATUSES = { all: null, pending: false, completed: true };

app.get("/api/:user_id/tasks", { schema: { response: { 200: tasks } } }, async (request, reply) => {
  const { query } = request;
  for (const name in query) {
    if (name !== "limit" && name !== "cursor" && name !== "status") throw new Problem(422, `${name} is unknown.`);
  }
  const limit = numberOf(query, "limit", MAXIMUM_PAGE);
  const cursor = numberOf(query, "cursor", Number.MAX_SAFE_INTEGER);
  const completed = STATUSES[query.status ?? "all"];
  if (completed === undefined) throw new Problem(422, "status must be all, pending or completed.");
  const mark = `${limit ?? ""}.${cursor ?? ""}.${query.status ?? ""}`;
  const known = request.headers["if-none-match"];
  if (known !== undefined) {
    const [owner] = await ask("state", [request.user]);
    const etag = listEtag(owner?.revision ?? 0, mark);
    if (knows(known, etag)) {
      reply.code(304).header("etag", etag);
      return reply.send();
    }
  }
  // One more than the page tells whether there is a next one.
  const rows = await ask("page", [request.user, completed, cursor, limit === null ? null : limit + 1]);
  reply.header("etag", listEtag(rows.length ? rows[0].revision : 0, mark));
  if (rows.length && rows[0].id === null) return [];
  if (limit !== null && rows.length > limit) {
    rows.pop();
    const status = query.status ? `&status=${query.status}` : "";
    const next = `/api/${request.params.user_id}/tasks?limit=${limit}&cursor=${rows.at(-1).id}${status}`;
    reply.header("link", `<${next}>; rel="next"`);
  }
  return rows;
});

app.post("/api/:user_id/tasks", { schema: { body: draft, response: { 201: task } } }, async (request, reply) => {
  const sent = cleanTask(request.body, Problem);
  const values = [
    request.user, QUOTA, sent.title, sent.description ?? null, sent.completed ?? false, sent.priority ?? 0, sent.tags ?? [],
    sent.due_date ?? null, sent.due_at ?? null,
  ];
  let [row] = await ask("create", values);
  if (row === undefined) {
    await ask("join", [request.user]);
    [row] = await ask("create", values);
    if (row === undefined) throw new Problem(409, `You hold ${QUOTA} tasks, as many as one user may. Delete some.`);
  }
  reply.code(201).headers({ etag: etagOf(row), location: `/api/${encodeURIComponent(request.user)}/tasks/${row.id}` });
  return row;
});

app.get("/api/:user_id/tasks/:id", { schema: { response: { 200: task } } }, async (request, reply) => {
  const [row] = await ask("find", [request.user, idOf(request)]);
  if (row === undefined) throw new Problem(404, "You have no task with this id.");
  const etag = etagOf(row);
  reply.header("etag", etag);
  const known = request.headers["if-none-match"];
  if (known !== undefined && knows(known, etag)) return reply.code(304).send();
  return row;
});

const change = async (request, reply) => {
  const id = idOf(request);
  const version = expectedVersion(request);
  const sent = cleanTask(request.body, Problem);
  // Setting one of the two clears the other.
  const setsDay = sent.due_date !== undefined || sent.due_at != null;
  const setsMoment = sent.due_at !== undefined || sent.due_date != null;
  const rows = await ask("update", [
    request.user, id, version, sent.title ?? null, sent.description !== undefined, sent.description ?? null,
    sent.completed ?? null, sent.priority ?? null, sent.tags ?? null, setsDay, sent.due_date ?? null, setsMoment, sent.due_at ?? null,
  ]);
  return written(request, reply, id, version, rows);
};
app.patch("/api/:user_id/tasks/:id", { schema: { body: patch, response: { 200: task } } }, change);
app.put("/api/:user_id/tasks/:id", { schema: { body: patch, response: { 200: task } } }, change);

const complete = async (request, reply) => {
  const id = idOf(request);
  const version = expectedVersion(request);
  const rows = await ask("complete", [request.user, id, version, request.body?.completed ?? null]);
  return written(request, reply, id, version, rows);
};
app.patch("/api/:user_id/tasks/:id/complete", { schema: { body: completion, response: { 200: task } } }, complete);
app.post("/api/:user_id/tasks/:id/complete", { schema: { body: completion, response: { 200: task } } }, complete);

app.delete("/api/:user_id/tasks/:id", { schema: { body: deletion } }, async (request, reply) => {
  const id = idOf(request);
  const version = expectedVersion(request);
  const [{ id: deleted }] = await ask("delete", [request.user, id, version]);
  if (deleted === null) await written(request, reply, id, version, []);
  reply.code(204).send();
});

await start(readFileSync(new URL("schema.sql", import.meta.url), "utf8"));
await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
process.on("SIGTERM", () => {
  lines.flushSync();
  process.exit(0);
});
