import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { createElement as h, Fragment, memo, StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { create } from "react-test-renderer";

import { createDoable } from "../src/index.js";
import { DoableProvider, useConflicts, useLists, useReplica, useSyncStatus, useTask, useTasks } from "../src/react.js";
import { memoryStorage } from "../src/replica/storage.js";
import { Network, URL_OF_SERVICE, client, eventually, newUser, sign } from "./service.js";

const complaints = [];
const EXPECTED = /react-test-renderer is deprecated|multiple renderers/; // the server and the test renderer
console.error = (text, ...rest) => { if (!EXPECTED.test(text)) complaints.push([text, ...rest]); };
afterEach(() => assert.deepEqual(complaints.splice(0), []));

/** Shows all that the hooks return, and counts how often each task is drawn. */
function Page({ query, seen, draws = {} }) {
  Object.assign(seen, {
    tasks: useTasks(query), lists: useLists(), status: useSyncStatus(), conflicts: useConflicts(), replica: useReplica(),
  });
  return seen.tasks.map(({ uid }) => h(Row, { key: uid, uid, draws }));
}
const Row = memo(({ uid, draws }) => {
  const task = useTask(uid);
  draws[uid] = (draws[uid] ?? 0) + 1;
  return h("li", null, task?.title);
});

/** Mounts a page with the hooks. It is unmounted at the end of the test. */
async function mount(t, doable, { query, wrapper = StrictMode, ...props } = {}) {
  const [seen, draws] = [{}, {}];
  const tree = h(wrapper, null, h(DoableProvider, { doable, storage: memoryStorage(), ...props }, h(Page, { query, seen, draws })));
  const mounted = create(tree);
  t.after(() => mounted.unmount());
  await eventually(() => seen.status);
  const texts = () => mounted.root.findAllByType("li").map(({ children }) => children.join(""));
  return { seen, draws, texts, shows: (...titles) => eventually(() => `${texts()}` === `${titles}`) };
}

test("the hooks show the copy, and what each write changes", async (t) => {
  const doable = client();
  await doable.tasks.create({ title: "Water the plants" });
  const { seen, shows } = await mount(t, doable, { query: { completed: false } });
  await eventually(() => seen.status.synced);
  await shows("Water the plants");
  const [first] = seen.tasks;
  seen.replica.createList({ name: "Garden" });
  const second = seen.replica.create({ title: "Mow the lawn" });
  await shows("Mow the lawn", "Water the plants");
  assert.deepEqual(seen.lists.map(({ name }) => name), ["Garden"]);
  assert.equal(seen.tasks[1], first);
  seen.replica.complete(first.uid);
  await shows("Mow the lawn");
  await eventually(() => seen.status.pending === 0);
  await doable.tasks.update(second.uid, { title: "Mow" });
  await shows("Mow");
  seen.replica.reopen(first.uid);
  await shows("Mow", "Water the plants");
});

test("a task is drawn again only if it has changed", async (t) => {
  const doable = client();
  const first = await doable.tasks.create({ title: "Water the plants" });
  const { seen, draws, shows } = await mount(t, doable, { wrapper: Fragment });
  await eventually(() => seen.status.synced);
  await shows("Water the plants");
  const drawn = draws[first.uid];
  seen.replica.create({ title: "Mow the lawn" });
  await seen.replica.sync();
  await shows("Mow the lawn", "Water the plants");
  assert.equal(draws[first.uid], drawn);
});

test("the server draws its first rows, and they stay until the copy is complete", async (t) => {
  const doable = client();
  const list = await doable.lists.create({ name: "Garden" });
  await doable.tasks.create({ title: "Water the plants", list_id: list.id });
  const initial = { tasks: await doable.tasks.list(), lists: await doable.lists.list() };
  const seen = {};
  const page = h(DoableProvider, { doable, initial }, h(Page, { seen, query: { list: list.uid } }));
  assert.equal(renderToString(page), "<li>Water the plants</li>");
  assert.deepEqual([seen.replica, seen.status.open, seen.tasks[0].list_id], [undefined, false, list.uid]);

  const network = await new Network().open();
  t.after(() => network.close());
  network.isHeld = true;
  const late = createDoable({ url: network.url, token: sign(await doable.user()), backOff: 50 });
  const mounted = await mount(t, late, { initial });
  await eventually(() => mounted.seen.status.open);
  assert.deepEqual(mounted.texts(), ["Water the plants"]);
  await doable.tasks.create({ title: "Mow the lawn" });
  network.isHeld = false;
  network.cut();
  await mounted.shows("Mow the lawn", "Water the plants");
});

test("the first rows stay if the first synchronisation fails, with the user's changes over them", async (t) => {
  const doable = client();
  const [plants, lawn] = await Promise.all(["Plants", "Lawn"].map((title) => doable.tasks.create({ title })));
  const initial = { tasks: [plants, lawn] };
  let isDown = true;
  const send = (...request) => (isDown ? Promise.reject(new TypeError("no connection")) : fetch(...request));
  const late = createDoable({ url: URL_OF_SERVICE, token: sign(await doable.user()), backOff: 1, fetch: send });
  const { seen, shows } = await mount(t, late, { initial, query: { sort: "title" } });
  await eventually(() => seen.status.open && seen.status.problem);
  await shows("Lawn", "Plants");
  seen.replica.create({ title: "Water" });
  await shows("Lawn", "Plants", "Water");
  isDown = false;
  await seen.replica.sync();
  await shows("Lawn", "Plants", "Water");
  const renamed = seen.tasks[0];
  seen.replica.update(renamed.uid, { title: "Mow" });
  await shows("Mow", "Plants", "Water");
});

test("a copy that is newer than the first rows is shown at once", async (t) => {
  const doable = client();
  const old = await doable.tasks.create({ title: "Old" });
  await doable.tasks.update(old, { title: "New" });
  const storage = memoryStorage();
  const before = await doable.replica({ storage });
  await before.sync();
  await before.close();
  const offline = createDoable({ url: URL_OF_SERVICE, token: sign(await doable.user()), fetch: () => Promise.reject(new TypeError("no connection")) });
  const { seen, shows } = await mount(t, offline, { initial: { tasks: [old] }, storage });
  await eventually(() => seen.status.open && seen.status.problem);
  await shows("New");
});

test("a page may have more queries than the copy keeps", async (t) => {
  const doable = client();
  const seen = Array.from({ length: 120 }, () => ({}));
  const Many = () => seen.map((one, at) => h(Page, { key: at, seen: one, query: { q: `task ${at}` } }));
  const mounted = create(h(DoableProvider, { doable, storage: memoryStorage() }, h(Many)));
  t.after(() => mounted.unmount());
  await eventually(() => seen[0].status?.synced);
  for (const at of [0, 119]) seen[at].replica.create({ title: `Task ${at}` });
  const counts = () => seen.map(({ tasks }) => tasks.length);
  await eventually(() => counts().reduce((one, other) => one + other) === 4);
  assert.deepEqual([0, 1, 11, 119].map((at) => counts()[at]), [1, 1, 1, 1], "119 has three of these numbers");
});

test("the user decides conflicts, and hears of refused writes", async (t) => {
  const user = newUser();
  const network = await new Network().open();
  t.after(() => network.close());
  const refused = [];
  const doable = createDoable({ url: network.url, token: sign(user), backOff: 50 });
  const { seen, shows } = await mount(t, doable, { onConflict: "ask", onRejected: (one) => refused.push(one) });
  await eventually(() => seen.status.synced);
  const task = seen.replica.create({ title: "Water the plants" });
  await seen.replica.sync();
  const clash = async (mine, theirs) => {
    network.isHeld = true;
    network.cut();
    seen.replica.update(task.uid, { title: mine });
    await client({ user }).tasks.update(task.uid, { title: theirs });
    network.isHeld = false;
    network.cut();
    return eventually(() => seen.conflicts.length && seen.conflicts);
  };
  const [{ keep, ...conflict }] = await clash("Mine", "Theirs");
  assert.deepEqual(conflict, { kind: "task", uid: task.uid, field: "title", mine: "Mine", theirs: "Theirs", base: "Water the plants" });
  keep("Both");
  await seen.replica.sync();
  await shows("Both");
  assert.deepEqual(seen.conflicts, []);
  assert.equal((await client({ user }).tasks.get(task.uid)).title, "Both");
  seen.replica.update(task.uid, { title: "x".repeat(1000) });
  await eventually(() => refused.length);
  assert.deepEqual([refused[0].error.status, refused[0].uid], [422, task.uid]);
  await shows("Both");
  await clash("Mine again", "Theirs again");
  await doable.signOut();
  await eventually(() => !seen.conflicts.length);
});

test("the status says why there is no copy, and the copy opens once there is a token", async (t) => {
  const user = newUser();
  let token = () => { throw new Error("no connection"); };
  const { seen } = await mount(t, client({ token: () => token() }));
  await eventually(() => seen.status.problem);
  assert.deepEqual([seen.status.open, seen.status.problem.name], [false, "NetworkError"]);
  token = () => sign(user);
  await eventually(() => seen.status.synced);
  assert.equal(seen.status.problem, null);
});

test("a sign-out erases what is shown, and later pages say that no user is signed in", async (t) => {
  const doable = client();
  await doable.tasks.create({ title: "Water the plants" });
  const { seen, shows } = await mount(t, doable, { initial: { tasks: await doable.tasks.list() } });
  await eventually(() => seen.status.synced);
  await shows("Water the plants");
  await doable.signOut();
  await shows();
  const later = await mount(t, doable);
  await eventually(() => later.seen.status.problem);
  for (const { status } of [seen, later.seen]) assert.equal(status.problem.name, "SignedOutError");
});

test("a provider that gets the client of another user never shows the first user's tasks again", async (t) => {
  const [alice, bob] = [client(), client({ token: () => { throw new Error("no connection"); } })];
  const initial = { tasks: [await alice.tasks.create({ title: "Alice's" })] };
  const seen = {};
  const page = h(Page, { query: {}, seen }); // the same element, so that React draws it again only for its hooks
  const tree = (doable, rows) => h(DoableProvider, { doable, initial: rows, storage: memoryStorage() }, page);
  const mounted = create(tree(alice, initial));
  t.after(() => mounted.unmount());
  await eventually(() => seen.status?.synced);
  assert.equal(seen.tasks.length, 1);
  mounted.update(tree(bob));
  await eventually(() => seen.status.problem);
  assert.deepEqual([seen.tasks, seen.replica], [[], undefined]);
});

test("a hook outside of a provider says what is missing", () => {
  assert.throws(() => renderToString(h(Page, { seen: {} })), /need a DoableProvider/);
});
