import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { NetworkError, SignedOutError } from "../src/index.js";
import { follow } from "../src/stream.js";
import { createTransport } from "../src/transport.js";
import { Network, client, control, eventually, newUser, recorder, sign } from "./service.js";

let network;
before(async () => { network = await new Network().open(); });
after(() => network.close());

/** Follows a stream in the background, and collects its events and states. */
function listen(live, handle = () => {}) {
  const seen = [];
  const done = (async () => {
    for await (const event of live) {
      seen.push(event);
      await handle(event);
    }
  })();
  done.catch(() => {}); // each test that expects an error awaits it
  return { seen, done };
}

/** Returns a controller that also aborts when the test ends, so that a failed test leaves no stream behind. */
function ending(t) {
  const stop = new AbortController();
  t.signal.addEventListener("abort", () => stop.abort());
  return stop;
}

const states = () => {
  const seen = [];
  return { seen, onState: (state, error) => seen.push([state, error]) };
};

const named = (seen) => seen.filter(({ data }) => data?.title ?? data?.name).map(({ data }) => data.title ?? data.name);

test("changes of tasks and lists arrive with their positions, until the signal aborts", async (t) => {
  const doable = client();
  const stop = ending(t);
  const { seen: shown, onState } = states();
  const live = doable.live({ signal: stop.signal, onState });
  const { seen, done } = listen(live);
  await eventually(() => live.state === "open");
  assert.equal(seen[0].type, "position");
  await doable.lists.create({ name: "Garden" });
  const task = await doable.tasks.create({ title: "Mow" });
  await eventually(() => named(seen).length === 2); // otherwise one event might report both writes
  await doable.tasks.remove(task);
  await eventually(() => seen.at(-1).data?.deleted);
  assert.deepEqual(named(seen), ["Garden", "Mow"]);
  assert.deepEqual([seen[1].type, seen[1].data.type, seen.at(-1).type], ["list", "list", "task"]);
  await eventually(() => live.position === seen.at(-1).id);
  stop.abort();
  await done;
  assert.equal(live.state, "closed");
  assert.deepEqual(shown.map(([state]) => state), ["connecting", "open", "closed"]);
});

test("a stream of tasks alone, since a position or from the beginning, sends what was missed", async () => {
  const doable = client();
  await doable.tasks.create({ title: "One" });
  const { next } = await doable.tasks.changes();
  await doable.lists.create({ name: "No task" });
  await doable.tasks.create({ title: "Two" });
  for (const [since, expected] of [[next, ["Two"]], ["0", ["One", "Two"]]]) {
    const titles = [];
    for await (const { type, data } of doable.tasks.live({ since })) {
      if (type === "task") titles.push(data.title);
      if (titles.at(-1) === "Two") break;
    }
    assert.deepEqual(titles, expected);
  }
});

test("a connection that breaks is opened again after the last event that was handled, and nothing is lost", async (t) => {
  const user = newUser();
  const doable = client({ user });
  const { fetch, sent } = recorder();
  const stop = ending(t);
  const { seen: shown, onState } = states();
  const live = client({ user, url: network.url, fetch }).live({ signal: stop.signal, onState });
  const { seen, done } = listen(live);
  await eventually(() => live.state === "open");
  await doable.tasks.create({ title: "One" });
  await eventually(() => named(seen).length === 1);
  network.cut();
  await doable.tasks.create({ title: "Two" });
  await eventually(() => named(seen).length === 2);
  assert.deepEqual(named(seen), ["One", "Two"]);
  assert.equal(sent[1].headers["Last-Event-ID"], seen.find(({ data }) => data?.title === "One").id);
  assert.deepEqual(shown.map(([state]) => state), ["connecting", "open", "waiting", "connecting", "open"]);
  assert.ok(shown[2][1] instanceof NetworkError);
  stop.abort();
  await done;
});

test("an event whose handling fails is sent again to the next stream", async () => {
  const doable = client();
  await doable.tasks.create({ title: "One" });
  const live = doable.live({ since: "0" });
  await assert.rejects(listen(live, ({ type }) => { if (type === "task") throw new Error("no space left"); }).done, /no space left/);
  assert.equal(live.state, "closed");
  for await (const { type, data } of doable.live({ since: live.position })) {
    if (type !== "task") continue;
    assert.equal(data.title, "One");
    break;
  }
});

test("a connection that is silent for too long counts as broken", async (t) => {
  const user = newUser();
  const stop = ending(t);
  const { seen: shown, onState } = states();
  const live = client({ user, url: network.url }).live({ signal: stop.signal, silence: 300, onState });
  const { seen, done } = listen(live);
  await eventually(() => live.state === "open");
  network.isHeld = true;
  await eventually(() => shown.some(([state]) => state === "waiting"));
  network.isHeld = false;
  await client({ user }).tasks.create({ title: "After the silence" });
  await eventually(() => named(seen).length === 1);
  stop.abort();
  await done;
});

test("a stream ends at once when the device goes offline, and is opened again when it is online", async (t) => {
  const device = new EventTarget();
  globalThis.addEventListener = device.addEventListener.bind(device);
  globalThis.removeEventListener = device.removeEventListener.bind(device);
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener; });
  const stop = ending(t);
  const { seen: shown, onState } = states();
  const live = client().live({ signal: stop.signal, onState });
  const { done } = listen(live);
  await eventually(() => live.state === "open");
  device.dispatchEvent(new Event("offline"));
  await eventually(() => live.state === "waiting");
  assert.ok(shown.at(-1)[1] instanceof NetworkError);
  device.dispatchEvent(new Event("online"));
  await eventually(() => live.state === "open");
  stop.abort();
  await done;
});

test("a stream continues across a restart of the service", async (t) => {
  const { port } = await control({ start: {} });
  const user = newUser();
  const stop = ending(t);
  const restarted = client({ user, url: `http://127.0.0.1:${port}`, retries: 100 });
  const live = restarted.live({ signal: stop.signal });
  const { seen, done } = listen(live);
  await eventually(() => live.state === "open");
  await restarted.tasks.create({ title: "Before" });
  await eventually(() => named(seen).length === 1);
  await control({ stop: port });
  await client({ user }).tasks.create({ title: "Meanwhile" });
  await control({ start: {}, port });
  await restarted.tasks.create({ title: "Afterwards" });
  await eventually(() => named(seen).length === 3);
  assert.deepEqual(named(seen), ["Before", "Meanwhile", "Afterwards"]);
  stop.abort();
  await done;
  await control({ kill: port });
});

test("a stream whose token expires continues with a new token", async (t) => {
  const { port } = await control({ start: { JWT_LEEWAY: "0" } });
  const user = newUser();
  const stop = ending(t);
  let asked = 0;
  const doable = client({ url: `http://127.0.0.1:${port}`, token: () => { asked += 1; return sign(user, { seconds: asked > 1 ? 3600 : 2 }); } });
  const live = doable.live({ signal: stop.signal });
  const { seen, done } = listen(live);
  await eventually(() => asked === 2 && live.state === "open");
  await client({ user }).tasks.create({ title: "With the new token" });
  await eventually(() => named(seen).length === 1);
  stop.abort();
  await done;
  await control({ kill: port });
});

test("after an erasure, the stream says that everything must be read again, and continues", async ({ signal }) => {
  const user = newUser();
  const doable = client({ user });
  await doable.tasks.create({ title: "Erased" });
  const { next } = await doable.changes();
  await doable.erase(user);
  const { seen } = listen(doable.live({ since: next, signal }));
  await eventually(() => seen.length === 2);
  const [begin, reset] = seen;
  assert.deepEqual([begin.type, begin.id], ["position", next]); // not yet the new position
  assert.deepEqual([reset.type, reset.data.next], ["reset", reset.id]);
  await doable.tasks.create({ title: "New" });
  await eventually(() => named(seen).length === 1);
});

test("a sign-out ends the streams, and a stream of another user is not opened", async (t) => {
  const user = newUser();
  let token = sign(user);
  const transport = createTransport({ url: network.url, token: () => token });
  const { seen: shown, onState } = states();
  const live = follow(transport, { user, signal: t.signal, onState });
  const { done } = listen(live);
  await eventually(() => live.state === "open");
  await transport.signOut(); // although a token can still be had
  await assert.rejects(done, SignedOutError);
  assert.deepEqual(shown.map(([state]) => state), ["connecting", "open", "closed"]);
  token = sign(newUser());
  await assert.rejects(listen(follow(transport, { user })).done, SignedOutError);
});

test("a stream waits while the service has no room for it, and fails if the service refuses it", async (t) => {
  const { port } = await control({ start: { EVENT_STREAMS_PER_USER: "1" } });
  const doable = client({ url: `http://127.0.0.1:${port}` });
  const [first, second] = [ending(t), ending(t)];
  const one = doable.live({ signal: first.signal });
  listen(one);
  await eventually(() => one.state === "open");
  const { seen: shown, onState } = states();
  const two = doable.live({ signal: second.signal, onState });
  const { done } = listen(two);
  await eventually(() => two.state === "waiting");
  assert.equal(shown.at(-1)[1].code, "too_many_streams");
  second.abort();
  await done;
  first.abort();
  await assert.rejects(listen(client({ token: "not-a-jwt" }).live()).done, { status: 401 });
  await control({ kill: port });
});

test("a stream ends when another user signs in, and sends nothing of that user", async (t) => {
  const [alice, bob] = [newUser("alice"), newUser("bob")];
  let user = alice;
  const doable = client({ token: () => sign(user) });
  const live = doable.live({ signal: ending(t).signal });
  const { seen, done } = listen(live);
  await eventually(() => live.state === "open");
  user = bob;
  doable.renew();
  await client({ user: bob }).tasks.create({ title: "Bob's" });
  await assert.rejects(done, SignedOutError);
  assert.deepEqual(named(seen), []);
});

test("a stream waits while a proxy has no service behind it", async (t) => {
  const stop = ending(t);
  let isDown = true;
  const send = async (url, init) => (isDown ? new Response("<h1>No upstream</h1>", { status: 404 }) : fetch(url, init));
  const live = client({ fetch: send }).live({ signal: stop.signal });
  const { done } = listen(live);
  await eventually(() => live.state === "waiting");
  isDown = false;
  await eventually(() => live.state === "open");
  stop.abort();
  await done;
});

test("a text with a line separator of Unicode arrives whole", async () => {
  const doable = client();
  const { title } = await doable.tasks.create({ title: "One\u2028id: 1" });
  for await (const { type, data } of doable.live({ since: "0" })) {
    if (type !== "task") continue;
    assert.equal(data?.title, title);
    break;
  }
});

test("only streams say how the browser's cache is used, because some runtimes know no other way", async () => {
  const caches = [];
  const doable = client({ fetch: (url, init) => {
    caches.push([new URL(url).pathname.split("/").at(-1), init.cache]);
    return fetch(url, init);
  } });
  await doable.tasks.create({ title: "Plants" });
  await (await doable.export()).text();
  for await (const { type } of doable.live({ since: "0" })) if (type === "task") break;
  assert.deepEqual(caches, [["tasks", undefined], ["export", undefined], ["events", "no-store"]]);
});

test("a wait that is longer than a timer can be is no short one", async (t) => {
  let requests = 0;
  const busy = async () => {
    requests += 1;
    return new Response("", { status: 503, headers: { "Retry-After": "9999999" } });
  };
  const warnings = [];
  const warn = (warning) => warnings.push(warning.name);
  process.on("warning", warn);
  t.after(() => process.off("warning", warn));
  const stop = ending(t);
  const live = client({ fetch: busy }).live({ signal: stop.signal });
  const { done } = listen(live);
  await eventually(() => live.state === "waiting");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
  stop.abort();
  await done;
  assert.equal(requests, 1);
});
