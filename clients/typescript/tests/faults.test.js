import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import {
  ConflictError, NetworkError, NotFoundError, RateLimitedError, SignedOutError, UnauthorizedError, UnavailableError,
  createDoable,
} from "../src/index.js";
import { Network, URL_OF_SERVICE, client, control, eventually, newUser, recorder, sign } from "./service.js";

let network;
before(async () => { network = await new Network().open(); });
after(() => network.close());

const titles = (items) => items.map(({ title }) => title);

test("a write whose response gets lost is sent again, and takes effect once", async () => {
  const { fetch, sent } = recorder();
  const doable = client({ url: network.url, fetch });
  const { tasks } = doable;
  const lose = async (call) => {
    network.swallow();
    sent.length = 0;
    const result = await call();
    assert.equal(sent.length, 2);
    assert.deepEqual({ ...sent[1], body: String(sent[1].body) }, { ...sent[0], body: String(sent[0].body) });
    return result;
  };
  const task = await lose(() => tasks.create({ title: "Once" }));
  assert.equal(JSON.parse(sent[1].body).uid, task.uid);
  assert.equal(sent[1].headers["Idempotency-Key"], undefined);
  assert.equal((await lose(() => tasks.toggle(task))).completed, true);
  const [{ task: other }] = await lose(() => doable.batch([{ op: "create", task: { title: "Batched" } }]));
  assert.deepEqual(await lose(() => doable.import("title\r\nImported")), { imported: 1, skipped: 0 });
  assert.equal((await lose(() => tasks.update(other, { title: "Changed" }))).title, "Changed");
  const { version } = await tasks.get(other.id);
  assert.equal((await lose(() => tasks.complete(other, { ifVersion: version }))).completed, true);
  await lose(() => tasks.remove(task.id));
  assert.equal((await lose(() => doable.trash.restore(task.id))).title, "Once");
  assert.deepEqual(titles(await tasks.list({ sort: "title" })), ["Changed", "Imported", "Once"]);
});

test("a conflict with another client is reported, also by a retry", async () => {
  const { tasks } = client({ url: network.url });
  const task = await tasks.create({ title: "Old" });
  await tasks.update(task, { title: "Theirs" });
  network.swallow();
  await assert.rejects(tasks.update(task, { title: "Mine" }), (error) => error instanceof ConflictError && error.uncertain);
  network.swallow();
  await assert.rejects(tasks.get(987654321), NotFoundError);
});

test("when the retries are used up, the error says whether the request may have taken effect", async () => {
  const { tasks } = client({ url: network.url, retries: 1, backOff: 1 });
  network.swallow(2);
  await assert.rejects(tasks.create({ title: "Perhaps" }), (error) => error instanceof NetworkError && error.uncertain && Boolean(error.cause));
  assert.deepEqual(titles(await tasks.list()), ["Perhaps"]);
  const never = createDoable({ url: network.url, token: () => new Promise(() => {}), retries: 0, timeout: 10 });
  await assert.rejects(never.tasks.list(), { name: "NetworkError", message: "The token function failed: no token within 10 ms" });
  const unsent = createDoable({ url: network.url, token: () => { throw new Error("no issuer"); }, retries: 1, backOff: 1 });
  await assert.rejects(unsent.tasks.create({ title: "Never" }), (error) => {
    assert.ok(error instanceof NetworkError);
    assert.deepEqual([error.uncertain, error.message], [false, "The token function failed: no issuer"]);
    return true;
  });
});

test("a service that is killed and started again while a call retries answers it", async () => {
  const { port } = await control({ start: {} });
  const user = newUser();
  const { fetch, sent } = recorder();
  const { tasks } = client({ user, url: `http://127.0.0.1:${port}`, fetch, retries: 100, backOff: 5 });
  await tasks.create({ title: "Before" });
  await control({ kill: port });
  const created = tasks.create({ title: "Across" });
  await eventually(() => sent.length > 2);
  await control({ start: {}, port });
  assert.equal((await created).title, "Across");
  assert.deepEqual(titles(await client({ user }).tasks.list()), ["Across", "Before"]);
  await control({ stop: port });
});

test("a call that exceeds the rate waits as long as the service asks, and then succeeds", async () => {
  const { port } = await control({ start: { RATE_LIMIT: "2/second" } });
  const url = `http://127.0.0.1:${port}`;
  const { fetch, sent } = recorder();
  const { tasks } = client({ url, fetch, retries: 20 });
  await Promise.all(Array.from({ length: 4 }, (_, at) => tasks.create({ title: `Task ${at}` })));
  assert.ok(sent.length > 4);
  const hasty = client({ url, longestWait: 10 });
  await assert.rejects(Promise.all(Array.from({ length: 5 }, () => hasty.tasks.list())), (error) => {
    assert.ok(error instanceof RateLimitedError);
    assert.deepEqual([error.code, error.uncertain], ["rate_limited", false]);
    assert.ok(error.retryAfter > 0);
    return true;
  });
  await control({ kill: port });
});

test("a request for a stream that fails keeps no listener on the signal of the caller", async () => {
  const { signal } = new AbortController();
  for (const fetch of [async () => new Response("", { status: 404 }), () => Promise.reject(new TypeError("fetch failed"))]) {
    await assert.rejects(client({ fetch, retries: 0 }).export("json", { signal }));
    assert.equal(getEventListeners(signal, "abort").length, 0);
  }
});

test("a call is aborted before it is sent, while it runs, and while it waits for a token", async () => {
  const gone = new Error("The user has left the page.");
  const { fetch, sent } = recorder();
  const { tasks } = client({ url: network.url, fetch, timeout: 0 });
  await assert.rejects(tasks.list({}, { signal: AbortSignal.abort(gone) }), gone);
  assert.equal(sent.length, 0);

  const running = new AbortController();
  network.isHeld = true;
  const held = tasks.list({}, { signal: running.signal });
  await eventually(() => sent.length === 1);
  running.abort(gone);
  await assert.rejects(held, gone);
  network.isHeld = false;
  network.cut();

  await assert.rejects(client().user({ signal: AbortSignal.abort(gone) }), gone);

  const asking = new AbortController();
  const slow = createDoable({ url: network.url, token: () => new Promise(() => {}), timeout: 0 });
  const asked = slow.tasks.list({}, { signal: asking.signal });
  asking.abort(gone);
  await assert.rejects(asked, gone);
});

test("an attempt without a response ends after the timeout, and is sent again", async () => {
  network.isHeld = true;
  const impatient = client({ url: network.url, timeout: 100, retries: 0 });
  await assert.rejects(impatient.tasks.list(), { name: "NetworkError", message: "No response arrived within 100 ms." });
  let held = 1;
  const send = (url, init) => {
    network.isHeld = held > 0;
    held -= 1;
    return fetch(url, init);
  };
  assert.deepEqual(await client({ url: network.url, timeout: 200, retries: 50, fetch: send }).tasks.list(), []);
  network.cut();
});

test("a token that has expired is renewed once, by one request for all concurrent calls", async () => {
  const user = newUser();
  const asked = [];
  const { fetch, sent } = recorder();
  const token = ({ refresh }) => {
    asked.push(refresh);
    return sign(user, { seconds: refresh ? 3600 : -3600, iat: undefined });
  };
  const { tasks } = client({ token, fetch });
  await Promise.all(Array.from({ length: 10 }, (_, at) => tasks.create({ title: `Task ${at}` })));
  assert.deepEqual(asked, [false, true]);
  assert.equal((await tasks.list()).length, 10);
  assert.ok(sent.every(({ headers }) => headers.Authorization.startsWith("Bearer ey")));
});

test("a token is renewed before it expires", async () => {
  const user = newUser();
  const asked = [];
  const { fetch, sent } = recorder();
  const token = ({ refresh }) => {
    asked.push(refresh);
    return sign(user, { seconds: refresh ? 3600 : 1 }); // usable for half of its second; the service accepts it longer
  };
  const { tasks } = client({ token, fetch });
  await tasks.list();
  const end = Date.now() + 600;
  await eventually(() => Date.now() > end);
  await tasks.list();
  await tasks.list();
  assert.deepEqual(asked, [false, true]);
  assert.equal(sent.length, 3); // none was refused
});

test("a token that is refused even when it is new ends the call, and so does a token that cannot be renewed", async () => {
  let asked = 0;
  const { tasks } = client({ token: () => { asked += 1; return sign("alice", { secret: "another secret of more than 32 bytes" }); } });
  await assert.rejects(tasks.list(), UnauthorizedError);
  assert.equal(asked, 2);
  const { fetch, sent } = recorder();
  await assert.rejects(client({ token: sign("alice", { seconds: -60 }), fetch }).tasks.list(), UnauthorizedError);
  assert.equal(sent.length, 1);
});

test("if a refused token cannot be renewed at once, a later attempt asks for a new one too", async () => {
  const user = newUser();
  const asked = [];
  const token = ({ refresh }) => {
    asked.push(refresh);
    if (asked.length === 2) throw new Error("no issuer");
    return sign(user, { seconds: refresh ? 3600 : -3600, iat: undefined });
  };
  assert.deepEqual(await client({ token, backOff: 1 }).tasks.list(), []);
  assert.deepEqual(asked, [false, true, true]);
});

test("a signed-out user is told at once, and nothing is sent", async () => {
  const { fetch, sent } = recorder();
  let current = null;
  const doable = client({ token: async () => current, fetch });
  await assert.rejects(doable.tasks.create({ title: "Mine" }), SignedOutError);
  await assert.rejects(doable.user(), SignedOutError);
  await assert.rejects((async () => { for await (const _ of doable.live()); })(), SignedOutError);
  for (const token of ["", null, undefined]) await assert.rejects(client({ token, fetch }).tasks.list(), SignedOutError);
  assert.equal(sent.length, 0);
  current = sign(newUser());
  assert.deepEqual(await doable.tasks.list(), []);
});

test("a call ends when another user signs in meanwhile, and the other user gets nothing of it", async () => {
  const [alice, bob] = [newUser("alice"), newUser("bob")];
  let user = alice;
  const send = (url, init) => {
    const sent = fetch(url, init);
    user = bob;
    doable.renew();
    return sent;
  };
  const asked = [];
  const token = ({ refresh }) => {
    asked.push(refresh);
    return sign(user);
  };
  const doable = client({ token, url: network.url, fetch: send, backOff: 1 });
  network.swallow(1);
  await assert.rejects(doable.tasks.create({ title: "Alice's" }), SignedOutError);
  assert.equal(await doable.user(), bob);
  assert.deepEqual(asked.slice(0, 2), [false, true]); // not the token of Alice from a cache
  assert.deepEqual(await doable.tasks.list(), []);
  await assert.rejects(doable.request("GET", "/tasks", { user: alice }), SignedOutError);
});

test("after a sign-out, a token given as a string is not sent any more, and all listeners are waited for", async () => {
  const doable = client();
  await doable.tasks.list();
  await doable.signOut();
  await assert.rejects(doable.tasks.list(), SignedOutError);
});

// Answers that the service gives only rarely, and those of proxies and of other servers, at the client's own socket.
test("answers of proxies and other servers are understood, and a wait for the service can be aborted", async () => {
  const answers = [];
  const server = createServer((_, response) => {
    const [status, headers, body = ""] = answers.shift();
    response.writeHead(status, headers).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const { tasks } = client({ url, backOff: 1 });
  const ok = [200, { "Content-Type": "application/json" }, "[]"];
  const at = (seconds) => new Date(1.8e12 + 1000 * seconds).toUTCString();

  for (const first of [
    [502, { "Content-Type": "text/html" }, "<h1>Bad gateway</h1>"], [504, {}], [408, {}], [425, {}], [503, { "Retry-After": "0" }],
    [429, { "Retry-After": "nonsense" }], [200, { "Content-Type": "text/html" }, "<h1>Please sign in to this wi-fi</h1>"],
    [200, { "Content-Type": "application/json" }, "[{"], [503, { Date: at(0), "Retry-After": at(0) }],
    [409, { "Content-Type": "application/problem+json", "Retry-After": "0" }, '{"code": "request_in_progress"}'],
  ]) {
    answers.push(first, ok);
    assert.deepEqual(await tasks.list(), [], `after ${first}`);
  }
  const refused = async (answer, kind, expected) => {
    answers.push(answer);
    await assert.rejects(tasks.list(), (error) => {
      assert.ok(error instanceof kind);
      for (const [name, value] of Object.entries(expected)) assert.equal(error[name], value);
      return true;
    });
  };
  const problem = { "Content-Type": "application/problem+json" };
  await refused([404, problem, '{"code": "task_not_found"}'], NotFoundError, { code: "task_not_found" });
  await refused([404, { "Content-Type": "text/html" }, "<h1>No upstream</h1>"], UnavailableError, { status: 404, code: undefined });
  await refused([410, { "Content-Type": "application/json" }, '{"code": 410}'], UnavailableError, { status: 410, code: undefined });
  answers.push([502, {}], [404, { "Content-Type": "text/html" }, "<h1>No upstream</h1>"]);
  await assert.rejects(tasks.remove(1), UnavailableError); // the 404 does not say that the first attempt took effect
  answers.push([503, { "Retry-After": "3600" }]);
  const leaving = new AbortController();
  const patient = client({ url, longestWait: Infinity, retries: 1 }).tasks.list({}, { signal: leaving.signal });
  await eventually(() => answers.length === 0);
  leaving.abort();
  await assert.rejects(patient, { name: "AbortError" });
  await refused([503, { "Retry-After": "3600" }], UnavailableError, { retryAfter: 3600, message: "The service answered with status 503." });
  await refused([429, { Date: at(0), "Retry-After": at(90) }], RateLimitedError, { retryAfter: 90 });
  await refused([500, { "Content-Type": "application/json" }, "<"], Error, { name: "DoableError", status: 500 });
  await new Promise((resolve) => server.close(resolve));
});
