import assert from "node:assert/strict";
import { test } from "node:test";

import { createCopy } from "../src/replica/copy.js";
import { createSender } from "../src/replica/outbox.js";
import { load, memoryStorage } from "../src/replica/storage.js";
import { Network, client, eventually, newUser, sign, uncaught, withoutStream } from "./service.js";

const titles = (rows) => rows.map(({ title }) => title);

/** Opens replicas that close at the end of the test. */
async function open(t, options = {}, replicaOptions = {}) {
  const doable = client(options);
  const replica = await doable.replica({ storage: memoryStorage(), ...replicaOptions });
  t.after(() => replica.close());
  return Object.assign(replica, { doable });
}

test("writes apply at once, and reach the service and other copies", async (t) => {
  const user = newUser();
  const [ours, theirs] = [await open(t, { user }), await open(t, { user })];
  const task = ours.create({ title: " Water the plants ", tags: ["home"] });
  assert.deepEqual([task.title, task.id, ours.status.pending], [" Water the plants ", null, 1]);
  assert.deepEqual(ours.tasks(), [task]);
  await ours.sync();
  assert.equal(ours.status.pending, 0);
  await eventually(() => theirs.task(task.uid));
  theirs.complete(task.uid);
  await eventually(() => ours.task(task.uid).completed);
  await theirs.sync();
  const [there] = await ours.doable.tasks.list();
  assert.deepEqual([there.uid, there.title, there.completed, there.tags], [task.uid, "Water the plants", true, ["home"]]);
  ours.remove(task.uid);
  assert.deepEqual(ours.tasks(), []);
  await eventually(() => !theirs.task(task.uid));
  ours.restore(task.uid);
  assert.equal(ours.task(task.uid).title, "Water the plants");
  await ours.sync();
  await eventually(() => theirs.task(task.uid));
});

test("lists, subtasks and moves work before the service knows them", async (t) => {
  const network = await new Network().open();
  t.after(() => network.close());
  const replica = await open(t, { url: network.url });
  await replica.sync();
  network.isHeld = true;
  network.cut();
  const garden = replica.createList({ name: "Garden", color: "#2e7d32" });
  const plants = replica.create({ title: "Plants", list_id: garden.uid });
  const water = replica.create({ title: "Water", parent_id: plants.uid });
  const mow = replica.create({ title: "Mow", list_id: garden.uid });
  const dig = replica.create({ title: "Dig", list_id: garden.uid, after: null });
  assert.equal(water.list_id, garden.uid);
  assert.deepEqual(titles(replica.tasks({ list: garden.uid, parent: "none" })), ["Mow", "Plants", "Dig"]);
  replica.move(dig.uid, { before: plants.uid });
  assert.deepEqual(titles(replica.tasks({ list: garden.uid, parent: null })), ["Mow", "Dig", "Plants"]);
  replica.complete(plants.uid);
  assert.equal(replica.task(water.uid).completed, true);
  replica.move(plants.uid, { list_id: null });
  assert.equal(replica.task(water.uid).list_id, null);
  assert.equal(replica.status.pending, 8);
  const view = () => Object.fromEntries([...replica.tasks(), ...replica.lists()].map((row) =>
    [row.uid, [row.title, row.position, row.list_id, row.parent_id, row.completed]]));
  const before = view();
  network.isHeld = false;
  network.cut();
  await replica.sync();
  assert.deepEqual(view(), before);
  assert.deepEqual(titles(await replica.doable.tasks.list({ list: garden.uid, sort: "position" })), ["Mow", "Dig"]);
  assert.equal((await replica.doable.tasks.get(water.uid)).completed, true);
});

/** A replica that can be disconnected, and another client of its user. */
async function disconnectable(t, replicaOptions) {
  const network = await new Network().open();
  const user = newUser();
  const replica = await open(t, { url: network.url, user }, replicaOptions);
  t.after(() => network.close());
  return Object.assign(replica, {
    other: client({ user }),
    disconnect() {
      network.isHeld = true;
      network.cut();
    },
    async reconnect() {
      network.isHeld = false;
      network.cut();
      await replica.sync();
    },
    network,
  });
}

test("fields that only one side has changed merge by themselves, and so do tags", async (t) => {
  const conflicts = [];
  const replica = await disconnectable(t, { onConflict: (conflict) => conflicts.push(conflict) });
  const { uid } = replica.create({ title: "Plants", tags: ["home", "green"], due_date: "2026-12-24" });
  await replica.sync();
  replica.disconnect();
  replica.update(uid, { title: "Water the plants" });
  replica.update(uid, { tags: ["home", "daily"] });
  await replica.other.tasks.update(uid, { description: "The big ones", priority: "high", tags: ["home", "green", "roof"] });
  await replica.reconnect();
  const there = await replica.other.tasks.get(uid);
  assert.deepEqual([there.title, there.description, there.priority, there.tags], ["Water the plants", "The big ones", "high", ["home", "roof", "daily"]]);
  assert.deepEqual(conflicts, []);
  assert.deepEqual(replica.task(uid), { ...there, id: there.id });
});

test("a true conflict is decided by onConflict, and meanwhile other tasks go on", async (t) => {
  const asked = [];
  const replica = await disconnectable(t, { onConflict: (conflict) => new Promise((decide) => asked.push({ ...conflict, decide })) });
  const [one, two] = ["One", "Two"].map((title) => replica.create({ title }));
  await replica.sync();
  replica.disconnect();
  replica.update(one.uid, { title: "Mine", priority: "low" });
  replica.update(two.uid, { title: "Two, changed" });
  await replica.other.tasks.update(one.uid, { title: "Theirs" });
  const reconnected = replica.reconnect();
  await eventually(() => asked.length && replica.status.pending === 1);
  const [{ decide, ...conflict }] = asked;
  assert.deepEqual(conflict, { kind: "task", uid: one.uid, field: "title", mine: "Mine", theirs: "Theirs", base: "One" });
  assert.equal(replica.task(one.uid).title, "Mine");
  decide("Theirs");
  await reconnected;
  assert.equal(asked.length, 1);
  const there = await replica.other.tasks.list({ sort: "title" });
  assert.deepEqual(there.map(({ title, priority }) => [title, priority]), [["Theirs", "low"], ["Two, changed", "none"]]);
  assert.deepEqual(titles(replica.tasks({ sort: "title" })), ["Theirs", "Two, changed"]);
});

test("without onConflict, the own change is kept", async (t) => {
  const replica = await disconnectable(t);
  const { uid } = replica.create({ title: "One" });
  await replica.sync();
  replica.disconnect();
  replica.update(uid, { title: "Mine", due_at: "2026-12-24T18:00:00Z" });
  await replica.other.tasks.update(uid, { title: "Theirs", due_date: "2026-12-25" });
  await replica.reconnect();
  const { title, due_date, due_at } = await replica.other.tasks.get(uid);
  assert.deepEqual([title, due_date, due_at], ["Mine", null, "2026-12-24T18:00:00.000000Z"]);
});

test("a refused write ends, restores the state of the service, reports, and blocks nothing", async (t) => {
  const refused = [];
  const replica = await disconnectable(t, { onRejected: (one) => refused.push(one) });
  const [kept, gone] = ["Kept", "Gone"].map((title) => replica.create({ title }));
  await replica.sync();
  replica.disconnect();
  replica.update(gone.uid, { title: "Changed" });
  replica.update(kept.uid, { priority: "urgent" });
  const bad = replica.create({ title: "x".repeat(300) });
  replica.complete(bad.uid);
  const child = replica.create({ title: "Child", parent_id: bad.uid });
  const good = replica.create({ title: "Good" });
  await replica.other.tasks.remove(gone.uid);
  await replica.reconnect();
  assert.deepEqual(refused.map(({ uid, op, error }) => [uid, op, error.status]), [
    [gone.uid, "update", 404], [kept.uid, "update", 422], [bad.uid, "create", 422], [bad.uid, "update", 422],
    [child.uid, "create", 422],
  ]);
  assert.deepEqual(refused[1].changes, { priority: "urgent" });
  assert.deepEqual(titles(replica.tasks()), ["Good", "Kept"]);
  assert.equal(replica.task(kept.uid).priority, "none");
  assert.deepEqual(titles(await replica.other.tasks.list()), ["Good", "Kept"]);
  assert.deepEqual([replica.status.pending, replica.task(good.uid).title], [0, "Good"]);
  await eventually(() => replica.status.problem === null);
});

test("an answer that is not Doable's refuses no write", async (t) => {
  t.mock.method(Math, "random", () => 0); // no wait between attempts
  const refused = [];
  let answer;
  let answers = 0;
  const send = async (url, init) => {
    if (!answer || !/batch$/.test(url)) return fetch(url, init);
    answers += 1;
    const [status, type, text] = answer;
    return new Response(text, { status, headers: { "Content-Type": type } });
  };
  const replica = await open(t, { fetch: send, backOff: 1 }, { onRejected: (one) => refused.push(one) });
  const gone = replica.create({ title: "Gone" });
  const kept = replica.create({ title: "Kept" });
  await replica.sync();
  const [html, json] = ["text/html", "application/json"];
  replica.remove(gone.uid);
  for (answer of [
    [404, html, "<h1>No upstream</h1>"], [405, html, ""], [410, html, ""], [400, html, "<h1>Blocked</h1>"], [403, html, ""],
    [422, json, '{"message": "Blocked"}'], [404, json, '{"code": 404, "message": "No route"}'], [302, html, "<h1>Moved</h1>"],
    [200, html, "<h1>Please sign in to this wi-fi</h1>"], [200, json, "{}"],
    [404, "application/problem+json", '{"code": "not_found"}'],
  ]) {
    answers = 0;
    replica.update(kept.uid, { description: `${answer}` });
    replica.create({ title: `${answer}` });
    const { pending } = replica.status;
    await eventually(() => answers > 3);
    assert.equal(replica.status.pending, pending, `${answer}`);
    assert.notEqual(replica.status.problem, null);
  }
  const last = `${answer}`;
  answer = undefined;
  await replica.sync();
  assert.deepEqual(refused, []);
  const there = await replica.doable.tasks.list();
  assert.deepEqual([there.length, there.find(({ uid }) => uid === kept.uid).description], [12, last]);
});

test("a write that the service cannot execute now is sent again after a wait", async (t) => {
  let isBusy = true;
  const error = { code: "service_unavailable", detail: "The service is busy." };
  const send = async (url, init) => (isBusy && /batch$/.test(url)
    ? Response.json({ results: JSON.parse(init.body).operations.map(() => ({ status: 503, error })) }) : fetch(url, init));
  const replica = await open(t, { fetch: send, backOff: 1 });
  replica.create({ title: "Plants" });
  await eventually(() => replica.status.problem?.code === error.code);
  isBusy = false;
  await replica.sync();
  assert.deepEqual(titles(await replica.doable.tasks.list()), ["Plants"]);
});

test("of writes that are too large for a proxy, only the large ones are refused", async (t) => {
  const refused = [];
  const send = async (url, init) => (init.body?.length > 3000 ? new Response("", { status: 413 }) : fetch(url, init));
  const replica = await open(t, { fetch: send, backOff: 1 }, { onRejected: ({ uid, error }) => refused.push([uid, error.status]) });
  const [, large] = ["", "x".repeat(4000), ""].map((description) => replica.create({ title: "Plants", description }));
  await replica.sync();
  assert.deepEqual(refused, [[large.uid, 413]]);
  assert.equal((await replica.doable.tasks.list()).length, 2);
});

test("a sender that stops while a request is being made ends", async () => {
  const stop = new AbortController();
  const same = { key: "1", op: "update", kind: "task", uid: "a", changes: { title: "Water" }, base: {} };
  createSender({
    signal: stop.signal, copy: { ops: [same], base: () => ({ title: "Water" }) }, commit() {}, onState() {},
    inOrder(work) {
      stop.abort();
      return work();
    },
  }).wake();
});

test("the effects of a write on other tasks stay until the feed tells of them", async (t) => {
  const replica = await open(t, { fetch: withoutStream });
  const acknowledged = () => eventually(() => !replica.status.pending);
  const garden = replica.createList({ name: "Garden" });
  const [plants, lawn] = ["Plants", "Lawn"].map((title) => replica.create({ title }));
  const [roses, edges] = [[plants, "Roses"], [lawn, "Edges"]].map(([{ uid }, title]) => replica.create({ title, parent_id: uid }));
  replica.create({ title: "Listed", list_id: garden.uid });
  await replica.sync();
  replica.complete(plants.uid);
  await acknowledged();
  assert.equal(replica.task(roses.uid).completed, true);
  replica.reopen(plants.uid); // before the feed has told of the completion
  assert.equal(replica.task(roses.uid).completed, false);
  await acknowledged();
  assert.equal(replica.task(roses.uid).completed, false);
  replica.complete(plants.uid);
  replica.complete(lawn.uid);
  await replica.sync();
  replica.reopen(plants.uid);
  replica.create({ title: "Corners", parent_id: lawn.uid });
  await acknowledged();
  assert.deepEqual([plants, roses, lawn, edges].map(({ uid }) => replica.task(uid).completed), [false, false, false, true]);
  replica.update(roses.uid, { title: "Red roses" });
  replica.complete(plants.uid);
  await acknowledged();
  assert.deepEqual([replica.task(roses.uid).title, replica.task(roses.uid).completed], ["Red roses", true]);
  replica.removeList(garden.uid, { tasks: "trash" });
  replica.remove(lawn.uid);
  await acknowledged();
  assert.deepEqual(titles(replica.tasks({ sort: "title" })), ["Plants", "Red roses"]);
  await replica.sync();
  assert.deepEqual(titles(replica.tasks({ sort: "title" })), ["Plants", "Red roses"]);
});

test("a second write after one that the service has normalised is no conflict", async (t) => {
  const conflicts = [];
  const replica = await open(t, { fetch: withoutStream }, { onConflict: (conflict) => conflicts.push(conflict) });
  const { uid } = replica.create({ title: "Plants" });
  const list = replica.createList({ name: "Garden" });
  await replica.sync();
  for (const at of [1, 2]) {
    const due_at = new Date(1.8e12 + 1000 * at).toISOString();
    replica.update(uid, { title: ` Water ${at} `, tags: [` home ${at} `], due_at });
    replica.updateList(list.uid, { name: ` Garden ${at}`, color: `#ABCDE${at}` });
    await eventually(() => !replica.status.pending);
  }
  assert.deepEqual(conflicts, []);
  assert.deepEqual([replica.task(uid).title, replica.task(uid).tags, replica.list(list.uid).color], ["Water 2", ["home 2"], "#abcde2"]);
});

test("fields that are cleared with null have the values that the service gives them, at once", async (t) => {
  const refused = [];
  const replica = await open(t, {}, { onRejected: (one) => refused.push(one) });
  const { uid } = replica.create({ title: "Plants", tags: ["home"], priority: "high", due_date: "2026-12-24" });
  const cleared = { tags: null, priority: null, position: null, description: null, due_date: null, due_at: null, list_id: null };
  replica.update(uid, cleared);
  replica.create({ title: "Lawn", ...cleared });
  replica.create({ title: "After both" });
  for (const sort of ["position", "priority", "due_date"]) {
    assert.deepEqual([replica.tasks({ sort, tag: "home" }).length, replica.tasks({ sort, priority: "none", due: null }).length], [0, 3]);
  }
  await replica.sync();
  assert.deepEqual([replica.task(uid).tags, replica.task(uid).priority, refused], [[], "none", []]);
});

test("a time that does not exist breaks no query, and is refused", async (t) => {
  const refused = [];
  const replica = await open(t, {}, { onRejected: ({ error }) => refused.push(error.status) });
  replica.create({ title: "Plants", due_at: "2026-13-45T00:00:00Z" });
  assert.deepEqual(replica.tasks({ due: {} }), []);
  await replica.sync();
  assert.deepEqual(refused, [422]);
});

test("errors of the application's functions are reported, and neither stop the queue nor lose a stored change", async (t) => {
  const thrown = uncaught(t);
  const fail = (name) => () => { throw new Error(name); };
  const storage = memoryStorage();
  const replica = await disconnectable(t, { storage, onConflict: fail("onConflict"), onRejected: fail("onRejected") });
  const { uid } = replica.create({ title: "One" });
  await replica.sync();
  replica.subscribe(fail("listener"));
  replica.disconnect();
  replica.update(uid, { title: "Mine" });
  replica.create({ title: "x".repeat(300) });
  replica.create({ title: "Good" });
  await replica.other.tasks.update(uid, { title: "Theirs" });
  await replica.reconnect();
  assert.deepEqual(titles(await replica.other.tasks.list()), ["Good", "Mine"]);
  assert.deepEqual(titles(replica.tasks()), ["Good", "Mine"]);
  await eventually(() => new Set(thrown).size === 3);
  assert.deepEqual([...new Set(thrown)].sort(), ["listener", "onConflict", "onRejected"]);
  const [name] = await storage.names();
  assert.deepEqual(await (await storage.open(name)).read("outbox"), []);
});

test("of successive moves of a task only the last one counts, also where the service must make the place", async (t) => {
  const refused = [];
  const replica = await disconnectable(t, { onRejected: (one) => refused.push(one) });
  for (const [title, position] of [["A", "a5"], ["B", "a5"], ["C", "a7"], ["D", "a9"]]) {
    await replica.other.tasks.create({ title, position });
  }
  const list = replica.createList({ name: "Garden" });
  await replica.sync();
  replica.disconnect();
  const [a, b, c, d] = replica.tasks({ list: null });
  replica.move(d.uid, { after: a.uid }); // the same position as that of B, so there is no room
  replica.move(d.uid, { after: c.uid });
  replica.move(c.uid, { after: a.uid });
  replica.move(c.uid, { before: b.uid });
  const e = replica.create({ title: "E", after: a.uid });
  const f = replica.create({ title: "F", after: e.uid });
  replica.move(e.uid, { after: null });
  const child = replica.create({ title: "Child", list_id: list.uid });
  replica.move(child.uid, { parent_id: f.uid });
  replica.move(b.uid, { list_id: list.uid });
  replica.move(b.uid, { parent_id: f.uid });
  await replica.reconnect();
  assert.deepEqual(refused, []);
  const there = await replica.other.tasks.list({ sort: "position" });
  assert.deepEqual(titles(there.filter((one) => one.parent_id)).sort(), ["B", "Child"]);
  assert.deepEqual(titles(there.filter((one) => !one.parent_id)), titles(replica.tasks({ parent: null })));
  assert.ok(titles(there).indexOf("E") > titles(there).indexOf("D"));
});

test("a value that is no JSON is refused at once, and a later change of a value changes no copy", async (t) => {
  const replica = await open(t);
  const proxy = new Proxy(["home"], {}); // as frameworks make it; it cannot be stored or sent to another tab
  const { uid } = replica.create({ title: "Plants", tags: proxy });
  proxy.push("roof");
  assert.deepEqual(structuredClone(replica.task(uid)).tags, ["home"]);
  assert.throws(() => replica.create({ title: 1n }), TypeError);
  replica.update(uid, { description: "After the error" });
  await replica.sync();
  assert.equal((await replica.doable.tasks.get(uid)).description, "After the error");
});

test("writes keep their order when the clock has gone back since the last instance", async (t) => {
  const storage = memoryStorage();
  const early = await disconnectable(t, { storage });
  await early.sync();
  early.disconnect();
  const { uid } = early.create({ title: "One" });
  await early.close();
  t.mock.method(Date, "now", () => 1.7e12);
  const late = await open(t, { url: early.network.url, user: early.user }, { storage });
  late.update(uid, { title: "Two" });
  await late.stored();
  const ops = await (await storage.open((await storage.names())[0])).read("outbox");
  assert.deepEqual(ops.map(({ op }) => op), ["create", "update"]);
});

test("a tab that loads while another one stores a step has all rows of both", async () => {
  const opened = await memoryStorage().open("copy");
  const step = { put: [["task", { uid: "a", id: 1, title: "Water", position: "U", version: 1, list_id: null, parent_id: null }]], since: "1-1", seen: 1 };
  let reads = 0;
  const read = async (store) => {
    reads += 1;
    const rows = await opened.read(store);
    if (reads === 1) await opened.write([["task", "a", step.put[0][1]], ["state", "position", { since: "1-1", seen: 1 }]], {});
    return rows;
  };
  // IndexedDB runs the transactions in the order in which they are made, and the write between the first and the second.
  let before = Promise.resolve();
  const stored = await load({ read: (store) => (before = before.then(() => read(store))) });
  const copy = createCopy();
  copy.step(stored);
  copy.step(step);
  assert.equal(copy.get("task", "a")?.title, "Water");
});

test("a write whose response gets lost takes effect once, and a lost deletion is no error", async (t) => {
  const refused = [];
  const replica = await disconnectable(t, { onRejected: (one) => refused.push(one) });
  await replica.sync();
  const send = async (write) => {
    replica.network.swallow();
    write();
    await eventually(() => replica.network.swallowed === 0);
    await replica.sync();
  };
  let uid;
  await send(() => { ({ uid } = replica.create({ title: "Once" })); });
  await send(() => replica.update(uid, { title: "Twice" }));
  await send(() => replica.remove(uid));
  assert.deepEqual(await replica.other.tasks.list(), []);
  await send(() => replica.restore(uid));
  assert.deepEqual(refused, []);
  const [there, ...others] = await replica.other.tasks.list();
  assert.deepEqual([there.title, others], ["Twice", []]);
});

test("an outbox survives the end of its instance, and is sent by the next one", async (t) => {
  const storage = memoryStorage();
  const replica = await disconnectable(t, { storage });
  const list = replica.createList({ name: "Garden" });
  await replica.sync();
  replica.disconnect();
  const parent = replica.create({ title: "Plants", list_id: list.uid });
  const child = replica.create({ title: "Water", parent_id: parent.uid });
  replica.complete(parent.uid);
  await replica.close();
  const offline = await open(t, { url: replica.network.url, user: replica.user }, { storage });
  assert.deepEqual([offline.status.pending, offline.status.online], [3, false]);
  assert.deepEqual([offline.task(child.uid).completed, offline.task(child.uid).list_id], [true, list.uid]);
  replica.network.isHeld = false;
  replica.network.cut();
  await offline.sync();
  assert.equal((await replica.other.tasks.get(child.uid)).completed, true);
  assert.equal(offline.list(list.uid).name, "Garden");
});

test("after a reset, the copy is read again and the outbox is kept", async (t) => {
  const storage = memoryStorage();
  const replica = await disconnectable(t, { storage });
  const [old, kept] = ["Old", "Kept"].map((title) => replica.create({ title }));
  await replica.sync();
  replica.disconnect();
  replica.update(kept.uid, { description: "Written offline" });
  replica.create({ title: "New" });
  await replica.other.tasks.remove(old.uid);
  await replica.other.trash.empty();
  await replica.reconnect();
  assert.deepEqual(titles(replica.tasks()), ["New", "Kept"]);
  assert.equal((await replica.other.tasks.get(kept.uid)).description, "Written offline");
});

test("signing out erases the copy, and another user never sees it", async (t) => {
  const storage = memoryStorage();
  const replica = await disconnectable(t, { storage });
  replica.create({ title: "Secret" });
  await replica.sync();
  const bob = await open(t, {}, { storage });
  assert.deepEqual(bob.tasks(), []);
  replica.disconnect();
  replica.create({ title: "Secret, unsent" });
  let told = 0;
  replica.subscribe(() => { told += 1; });
  await replica.doable.signOut();
  assert.ok(told);
  assert.deepEqual([replica.tasks(), replica.status.pending, replica.status.problem.name], [[], 0, "SignedOutError"]);
  assert.throws(() => replica.create({ title: "Late" }), { name: "SignedOutError" });
  assert.equal((await storage.names()).filter((name) => name.endsWith(replica.user)).length, 0);
  await assert.rejects(open(t, { token: () => null }, { storage }), { name: "SignedOutError" });
});

test("a sign-out erases a copy that was closed before, but not that of another user", async () => {
  const storage = { ...memoryStorage(), volatile: false }; // as a device keeps it
  const [alice, bob] = [newUser("alice"), newUser("bob")];
  let signedIn = alice;
  const doable = client({ token: () => sign(signedIn) });
  const close = async () => (await doable.replica({ storage })).close();
  await close();
  signedIn = bob;
  doable.renew();
  await close();
  await close();
  await doable.signOut();
  assert.deepEqual((await storage.names()).map((name) => name.endsWith(alice)), [true]);
});

test("a revoked token ends the wait for the service with its error", async (t) => {
  const user = newUser();
  let secret;
  const replica = await open(t, { token: () => sign(user, { secret }) });
  secret = "another secret of more than 32 bytes";
  replica.doable.renew();
  await assert.rejects(replica.sync(), { name: "UnauthorizedError", code: "invalid_token" });
});

test("a copy reads its changes no sooner than the service asks", async (t) => {
  const waits = [];
  const start = setTimeout;
  t.mock.method(globalThis, "setTimeout", (call, ms, ...rest) => {
    waits.push(ms);
    return start(call, ms, ...rest);
  });
  const busy = async () => new Response("", { status: 503, headers: { "Retry-After": "3600" } });
  await open(t, { fetch: busy });
  await eventually(() => waits.some((ms) => ms >= 3_600_000));
});

test("a sign-out while the copy is being opened leaves no copy", async () => {
  for (const moment of ["open", "read", "write"]) {
    const storage = memoryStorage();
    const doable = client();
    const signOut = async (when, result) => {
      if (when === moment) void doable.signOut();
      return result;
    };
    const open = async (name) => {
      const opened = await storage.open(name);
      return signOut("open", {
        ...opened,
        read: async (store) => signOut("read", await opened.read(store)),
        write: async (...edits) => signOut("write", await opened.write(...edits)),
      });
    };
    await assert.rejects(doable.replica({ storage: { ...storage, open } }), { name: "SignedOutError" });
    assert.deepEqual(await storage.names(), []);
  }
});

test("a copy that cannot be read does not open", async () => {
  const storage = memoryStorage();
  const open = async (name) => ({ ...await storage.open(name), read: async () => { throw new Error("damaged"); } });
  await assert.rejects(client().replica({ storage: { ...storage, open } }), /damaged/);
});

test("if another user signs in, the copy is hidden but kept, and nothing is sent in that user's name", async (t) => {
  const storage = memoryStorage();
  const network = await new Network().open();
  t.after(() => network.close());
  const [alice, bob] = [newUser("alice"), newUser("bob")];
  let signedIn = alice;
  const token = () => sign(signedIn);
  const replica = await open(t, { url: network.url, token }, { storage });
  await replica.sync();
  network.isHeld = true;
  network.cut();
  replica.create({ title: "Of Alice" });
  signedIn = bob;
  replica.doable.renew();
  network.isHeld = false;
  network.cut();
  await eventually(() => replica.status.problem?.name === "SignedOutError");
  assert.deepEqual(replica.tasks(), []);
  assert.deepEqual(await client({ user: bob }).tasks.list(), []);
  signedIn = alice;
  replica.doable.renew();
  const again = await open(t, { url: network.url, token }, { storage });
  await again.sync();
  assert.deepEqual(titles(await client({ user: alice }).tasks.list()), ["Of Alice"]);
});

test("without a network, the copy of the last user opens, even without a token", async (t) => {
  const storage = memoryStorage();
  const user = newUser();
  const replica = await open(t, { user }, { storage });
  replica.create({ title: "Known" });
  await replica.sync();
  await replica.close();
  const token = () => { throw new Error("offline"); };
  const offline = await open(t, { token }, { storage });
  assert.deepEqual([offline.user, titles(offline.tasks())], [user, ["Known"]]);
  await open(t, {}, { storage });
  await assert.rejects(open(t, { token }, { storage }), { name: "NetworkError" });
});

test("results are the same arrays until they change, and listeners are told what has changed", async (t) => {
  const replica = await open(t);
  const list = replica.createList({ name: "Garden" });
  const [one, two] = ["One", "Two"].map((title) => replica.create({ title, list_id: list.uid, tags: ["Straße"] }));
  const other = replica.create({ title: "Other", priority: "high", due_date: "2026-12-24" });
  await replica.sync();
  const query = { list: list.uid, completed: false };
  const before = replica.tasks(query);
  const told = [];
  replica.subscribe(({ task }) => task.length && told.push(task));
  replica.update(other.uid, { title: "Other, changed" });
  assert.equal(replica.tasks({ ...query }), before);
  assert.deepEqual(told, [[other.uid]]);
  replica.update(two.uid, { title: "Two" });
  assert.deepEqual(told.length, 1);
  replica.complete(one.uid);
  assert.deepEqual(replica.tasks(query), [replica.task(two.uid)]);
  assert.equal(replica.tasks(query)[0], before[0]);
  replica.reopen(one.uid);
  assert.deepEqual(titles(replica.tasks(query)), titles(before));
  assert.deepEqual(titles(replica.tasks({ tag: "STRASSE", sort: "title", order: "desc" })), ["Two", "One"]);
  assert.deepEqual(titles(replica.tasks({ list: "inbox", due: { before: "2026-12-25", after: "2026-12-23" } })), ["Other, changed"]);
  assert.deepEqual(titles(replica.tasks({ due: null, sort: "created" })), ["Two", "One"]);
  assert.deepEqual(titles(replica.tasks({ q: "CHANGED", priority: ["high", "low"] })), ["Other, changed"]);
  replica.updateList(list.uid, { archived: true });
  assert.deepEqual(titles(replica.tasks()), ["Other, changed"]);
  assert.equal(replica.tasks({ archived: true }).length, 3);
  assert.throws(() => replica.tasks({ sort: "colour" }), TypeError);
  replica.removeList(list.uid);
  assert.deepEqual(titles(replica.tasks({ list: null })), ["Two", "One", "Other, changed"]);
  replica.restoreList(list.uid);
  await replica.sync();
  assert.equal(replica.lists().length, 1);
});

test("a task that is restored right after its removal is shown in every tab, in whatever order the news arrives", () => {
  const task = { uid: "a", id: 1, title: "Water", position: "U", version: 1, list_id: null, parent_id: null };
  const copy = createCopy();
  copy.step({ all: true, put: [["task", { ...task }]], since: "1-1", seen: 1 });
  const op = { op: "remove", kind: "task", uid: "a", at: "" };
  copy.step({ ops: [{ ...op, key: "1" }] });
  copy.step({ ops: [{ ...op, op: "restore", key: "2" }], done: [["1", 1]] });
  copy.step({ put: [["task", { ...task, version: 3 }]], done: [["2", 3]] });
  copy.step({ put: [], since: "1-3", seen: 3 }); // the tab that leads leaves out what its copy has
  assert.equal(copy.get("task", "a")?.version, 3);
});

test("a subtask that arrives before its list and its parent gets each of them when it arrives", () => {
  const row = { version: 1, title: "A row", list_id: null, parent_id: null };
  const copy = createCopy();
  copy.step({ put: [["task", { ...row, uid: "child", id: 3, list_id: 1, parent_id: 2, version: 3 }]] });
  const places = [];
  for (const put of [["list", { ...row, uid: "list", id: 1 }], ["task", { ...row, uid: "parent", id: 2, version: 2 }]]) {
    copy.step({ put: [put] });
    places.push([copy.get("task", "child").list_id, copy.get("task", "child").parent_id]);
  }
  assert.deepEqual(places, [["list", null], ["list", "parent"]]);
});
