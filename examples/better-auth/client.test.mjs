// Tests doableFetch with a real Better Auth and a stand-in for Doable that verifies tokens like Doable.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, beforeEach, mock, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { createDoableFetch } from "./client.mjs";
import { createSession, signUp as register } from "./session.mjs";
import { startServer } from "./testing.mjs";

const { url: authURL, stop: stopAuth } = await startServer();
const keys = createRemoteJWKSet(new URL("/api/auth/jwks", authURL));
const refused = new Set(); // tokens that get 401; "every" refuses all tokens
const doable = createServer(async (request, response) => {
  const token = request.headers.authorization?.replace("Bearer ", "");
  calls.push(token);
  if (refused.has(token) || refused.has("every")) return response.writeHead(401).end();
  const { payload } = await jwtVerify(token, keys, { issuer: authURL, audience: authURL });
  response.end(JSON.stringify({ path: request.url, user: payload.sub }));
});
doable.listen(0, "127.0.0.1");
await once(doable, "listening");
const doableURL = `http://localhost:${doable.address().port}`;

let calls, asked, authClient, doableFetch;

beforeEach(async () => {
  calls = [];
  asked = 0;
  refused.clear();
  authClient = createSession(authURL);
  const counted = { $store: authClient.$store, token: () => (asked++, authClient.token()) };
  doableFetch = createDoableFetch(counted, doableURL);
});
afterEach(() => mock.timers.reset());
after(() => {
  doable.close().closeAllConnections();
  return stopAuth();
});

test("parallel and later calls share one token", async () => {
  await signUp();
  const responses = await Promise.all(["/api/me/tasks", "/api/me/tasks/1", "/api/me/tasks/2"].map((path) => doableFetch(path)));
  assert.deepEqual(responses.map(({ status }) => status), [200, 200, 200]);
  await doableFetch("/api/me/tasks");
  assert.equal(asked, 1);
  assert.equal(new Set(calls).size, 1);
});

test("a token is renewed shortly before it expires", async () => {
  mock.timers.enable({ apis: ["Date"], now: Date.now() });
  await signUp();
  await doableFetch("/");
  mock.timers.tick((15 * 60 - 31) * 1000);
  await doableFetch("/");
  assert.equal(asked, 1);
  mock.timers.tick(1000);
  assert.equal((await doableFetch("/")).status, 200);
  assert.equal(asked, 2);
});

test("a 401 is tried once more, with a new token and the same body", async () => {
  await signUp();
  await doableFetch("/");
  refused.add(calls[0]);
  await delay(1100); // with a deterministic signature, two tokens of the same second are equal
  const responses = await Promise.all([doableFetch("/", { method: "POST", body: "{}" }), doableFetch("/")]);
  assert.deepEqual(responses.map(({ status }) => status), [200, 200]);
  assert.equal(asked, 2);
});

test("a second 401 is handed to the caller", async () => {
  await signUp();
  refused.add("every");
  assert.equal((await doableFetch("/")).status, 401);
  assert.equal(calls.length, 2);
});

test("another user who signs in gets a token of their own", async () => {
  await signUp();
  const first = await (await doableFetch("/")).json();
  await signUp();
  const second = await (await doableFetch("/")).json();
  assert.notEqual(second.user, first.user);
});

test("without a session it rejects, and works once somebody has signed in", async () => {
  await assert.rejects(doableFetch("/"), /No user is signed in/);
  await signUp();
  assert.equal((await doableFetch("/")).status, 200);
});

test("the token is sent to Doable alone", async () => {
  await signUp();
  assert.equal((await doableFetch(`${doableURL}/api/me/tasks?cursor=abc`)).status, 200);
  await assert.rejects(doableFetch("//elsewhere.example/api/me/tasks"), /not for http:\/\/elsewhere\.example/);
});

async function signUp() {
  await register(authClient);
  await delay(20); // Better Auth's client notifies its listeners 10 ms after the response
}
