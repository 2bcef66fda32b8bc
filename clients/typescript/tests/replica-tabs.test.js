// Tabs of one browser that share a copy. Each tab is an instance with a client of its own. The storage is in memory, and
// refuses what IndexedDB would; tests/end_to_end/test_replica.py opens real tabs.
import assert from "node:assert/strict";
import { test } from "node:test";

import { StaleError, memoryStorage } from "../src/replica/storage.js";
import { client, eventually, newUser, sign } from "./service.js";

// Node 20 has no Web Locks. A lock passes to those who wait for it in their order.
const ends = new Map();
const locks = {
  request(name, { signal }, work) {
    const held = (ends.get(name) ?? Promise.resolve()).then(() => (signal.aborted ? undefined : work()));
    ends.set(name, held.catch(() => {}));
    return held;
  },
};
Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });

const titles = (rows) => rows.map(({ title }) => title).sort();

/** A storage that tabs share. It refuses the edits for which `refuses` returns true, as if there was no room for them. */
function sharedStorage() {
  const memory = memoryStorage();
  const storage = {
    ...memory,
    shared: true,
    volatile: false,
    refuses: () => false,
    leader: undefined,
    async open(name) {
      const opened = await memory.open(name);
      const write = async (edits, options) => {
        if (storage.refuses(edits)) throw Object.assign(new Error("no room"), { name: "QuotaExceededError" });
        for (const [, key, value] of edits) if (key === "leader") storage.leader = value;
        if (options.leader && options.leader !== storage.leader) throw new StaleError();
        await opened.write(edits, options);
      };
      return { ...opened, write };
    },
    /** Returns what is stored of the only copy. */
    async read(store) {
      const [name] = await memory.names();
      return (await memory.open(name)).read(store);
    },
  };
  return storage;
}

/** Opens the copy in another tab. @param {import("node:test").TestContext} t */
async function openTab(t, storage, options) {
  const doable = client(options);
  const replica = await doable.replica({ storage });
  t.after(() => replica.close());
  await eventually(() => replica.status.online);
  return Object.assign(replica, { doable });
}

const isOver = ({ status }) => status.problem?.name === "SignedOutError";

test("if another user signs in in a tab that does not lead, the copy is closed in all tabs, and nothing is sent for that user", async (t) => {
  const storage = sharedStorage();
  const [alice, bob] = [newUser("alice"), newUser("bob")];
  let signedIn = alice;
  const token = () => sign(signedIn);
  const tabs = [await openTab(t, storage, { token }), await openTab(t, storage, { token })];
  tabs[0].create({ title: "Of Alice" });
  await eventually(() => tabs[1].tasks().length);
  signedIn = bob;
  tabs[1].doable.renew();
  await eventually(() => tabs.every(isOver));
  for (const tab of tabs) {
    assert.deepEqual(tab.tasks(), []);
    assert.throws(() => tab.create({ title: "Too late" }), { name: "SignedOutError" });
    assert.equal(await tab.doable.user(), bob);
  }
  assert.deepEqual(await client({ user: bob }).tasks.list(), []);
});

test("after a sign-out in one tab, no other tab opens the copy again with a token that it has kept", async (t) => {
  const storage = sharedStorage();
  let current = sign(newUser());
  const token = () => current;
  const tabs = [await openTab(t, storage, { token }), await openTab(t, storage, { token })];
  current = null;
  await tabs[0].doable.signOut();
  await eventually(() => tabs.every(isOver));
  await assert.rejects(tabs[1].doable.replica({ storage }), { name: "SignedOutError" });
  assert.deepEqual(await storage.names(), []);
});

test("without locks, each tab leads, and the storage forgets the writes that each of them has sent", async (t) => {
  navigator.locks = undefined;
  t.after(() => { navigator.locks = locks; });
  const storage = sharedStorage();
  const user = newUser();
  const tabs = [await openTab(t, storage, { user }), await openTab(t, storage, { user })];
  for (const tab of tabs) {
    tab.create({ title: "Water the plants" });
    await tab.sync();
    await tab.stored();
  }
  assert.deepEqual(await storage.read("outbox"), []);
  await eventually(() => tabs[0].tasks().length === 2);
});

test("a tab that the storage could not record as the leader leads nevertheless, and is recorded later", async (t) => {
  const storage = sharedStorage();
  const user = newUser();
  await (await openTab(t, storage, { user })).close();
  storage.refuses = (edits) => edits.some(([, key]) => key === "leader");
  const leading = await openTab(t, storage, { user });
  assert.equal(leading.status.problem.name, "QuotaExceededError");
  const following = await openTab(t, storage, { user });
  storage.refuses = () => false;
  const task = leading.create({ title: "Water the plants" });
  await leading.sync();
  await eventually(() => following.task(task.uid)?.id);
  await leading.stored();
  assert.equal(leading.status.problem, null);
  assert.deepEqual([await storage.read("outbox"), titles(await storage.read("task"))], [[], ["Water the plants"]]);
});

test("what the storage of the leading tab has refused reaches tabs that open later, and is stored by the next one that leads", async (t) => {
  const storage = sharedStorage();
  const user = newUser();
  const other = client({ user });
  const leading = await openTab(t, storage, { user });
  storage.refuses = (edits) => edits.some(([store]) => store === "task" || store === "state");
  await other.tasks.create({ title: "A" });
  await eventually(() => leading.tasks().length);
  const following = await openTab(t, storage, { user });
  await eventually(() => following.tasks().length);
  await leading.close();
  storage.refuses = () => false;
  await eventually(() => following.status.online);
  await other.tasks.create({ title: "B" });
  await eventually(() => following.tasks().length === 2);
  await following.stored();
  assert.deepEqual(titles(await storage.read("task")), ["A", "B"]);
});

test("a write that the storage has refused is sent by whichever tab leads later", async (t) => {
  const storage = sharedStorage();
  const user = newUser();
  let isDown = false;
  const send = (url, init) => (isDown && /batch/.test(url) ? Promise.reject(new TypeError("no connection")) : fetch(url, init));
  const leading = await openTab(t, storage, { user, fetch: send });
  const next = await openTab(t, storage, { user });
  const writing = await openTab(t, storage, { user });
  isDown = true;
  storage.refuses = (edits) => edits.some(([store]) => store === "outbox");
  const { uid } = writing.create({ title: "Not stored" });
  await eventually(() => next.task(uid) && leading.task(uid));
  storage.refuses = () => false;
  await leading.close();
  await next.sync();
  assert.deepEqual(titles(await client({ user }).tasks.list()), ["Not stored"]);
});
