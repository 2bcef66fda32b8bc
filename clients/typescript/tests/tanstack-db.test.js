import assert from "node:assert/strict";
import { test } from "node:test";

import { BasicIndex, createCollection, createLiveQueryCollection, eq } from "@tanstack/db";

import { ConflictError, NetworkError, ValidationError } from "../src/index.js";
import { memoryStorage } from "../src/replica/storage.js";
import { doableCollectionOptions } from "../src/tanstack-db.js";
import { Network, client, eventually, newUser, sign, withoutStream } from "./service.js";

/** Creates collections of all tasks and all lists, which end with the test. */
async function open(t, source) {
  const indexes = { autoIndex: "eager", defaultIndexType: BasicIndex };
  const tasks = createCollection(doableCollectionOptions({ ...source, ...indexes, id: "tasks" }));
  const lists = createCollection(doableCollectionOptions({ ...source, ...indexes, kind: "list" }));
  t.after(() => Promise.all([tasks.cleanup(), lists.cleanup()]));
  await Promise.all([tasks.preload(), lists.preload()]);
  return { tasks, lists };
}

test("a TanStack DB collection shows all tasks and lists, and follows the changes of other clients", async (t) => {
  const user = newUser();
  const other = client({ user });
  const garden = await other.lists.create({ name: "Garden", archived: true });
  const plants = await other.tasks.create({ title: "Plants", list_id: garden.id });
  const { tasks, lists } = await open(t, { doable: client({ user }) });
  assert.equal(lists.get(garden.uid).name, "Garden");
  assert.equal(tasks.get(plants.uid).list_id, garden.uid);
  const joined = createLiveQueryCollection((query) => query.from({ task: tasks })
    .innerJoin({ list: lists }, ({ task, list }) => eq(task.list_id, list.uid))
    .where(({ task }) => eq(task.completed, false))
    .select(({ task, list }) => ({ title: task.title, list: list.name })));
  await joined.preload();
  const shown = () => joined.toArray.map(({ title, list }) => `${list}: ${title}`).sort();
  assert.deepEqual(shown(), ["Garden: Plants"]);
  const mow = await other.tasks.create({ title: "Mow", list_id: garden.id });
  await eventually(() => shown().length === 2);
  assert.deepEqual(shown(), ["Garden: Mow", "Garden: Plants"]);
  await other.tasks.complete(plants.uid);
  await eventually(() => shown().length === 1);
  await other.tasks.remove(mow.uid);
  await eventually(() => !tasks.has(mow.uid));
  assert.deepEqual(shown(), []);
  await joined.cleanup();
});

test("a write of a TanStack DB collection shows at once, and is persisted when the collection has its effects", async (t) => {
  const doable = client({ fetch: withoutStream });
  const { tasks, lists } = await open(t, { doable });
  const listed = lists.insert({ name: "Garden" });
  const [garden] = lists.toArray;
  const created = tasks.insert({ title: " Plants ", list_id: garden.uid, due_date: "2026-12-24" });
  const [{ uid, ...shown }] = tasks.toArray;
  assert.deepEqual([shown.title, shown.id, shown.priority, shown.list_id], [" Plants ", null, "none", garden.uid]);
  const renamed = tasks.update(uid, (draft) => { draft.title = "Water"; });
  const tagged = tasks.update(uid, (draft) => { draft.tags.push("home"); }); // before the other writes are acknowledged
  await Promise.all([listed, created, renamed, tagged].map(({ isPersisted }) => isPersisted.promise));
  const there = await doable.tasks.get(uid);
  assert.deepEqual([there.title, there.tags, there.due_date], ["Water", ["home"], "2026-12-24"]);
  const { id, version, list_id } = tasks.get(uid);
  assert.deepEqual({ id, version, list_id }, { id: there.id, version: there.version, list_id: garden.uid });

  const child = tasks.insert({ title: "Roses", parent_id: uid });
  await child.isPersisted.promise;
  const parent = tasks.update(uid, (draft) => { draft.completed = true; });
  await parent.isPersisted.promise;
  assert.equal(tasks.get(child.mutations[0].key).completed, true);

  await lists.delete(garden.uid).isPersisted.promise;
  assert.deepEqual([lists.size, tasks.size], [0, 2]);
  await tasks.delete(uid).isPersisted.promise;
  assert.equal(tasks.size, 0);
  assert.deepEqual([await doable.tasks.list(), await doable.lists.list()], [[], []]);
});

test("a TanStack DB transaction takes effect as a whole", async (t) => {
  const user = newUser();
  const doable = client({ user, fetch: withoutStream });
  const { tasks } = await open(t, { doable });
  const created = tasks.insert([{ title: "One" }, { title: "Two" }]);
  await created.isPersisted.promise;
  const [one, two] = created.mutations.map(({ key }) => key);
  await client({ user }).tasks.update(two, { title: "Theirs" });
  const refused = tasks.update([one, two], (drafts) => { for (const draft of drafts) draft.title = "Mine"; });
  await assert.rejects(refused.isPersisted.promise, (error) => error instanceof ConflictError && error.current.title === "Theirs");
  assert.deepEqual([tasks.get(one).title, tasks.get(two).title], ["One", "Two"]);
  assert.equal((await doable.tasks.get(one)).title, "One");
});

test("TanStack DB rolls back what the service refuses, or what cannot be sent", async (t) => {
  const user = newUser();
  const other = client({ user });
  const network = await new Network().open();
  t.after(() => network.close());
  const { tasks } = await open(t, { doable: client({ user, fetch: withoutStream, url: network.url, retries: 0 }) });
  const { uid } = tasks.insert({ title: "Plants" }).mutations[0].modified;
  await eventually(() => tasks.get(uid).id);

  const blank = tasks.update(uid, (draft) => { draft.title = " "; });
  await assert.rejects(blank.isPersisted.promise, (error) => error instanceof ValidationError && error.errors[0].field === "changes.title");
  assert.equal(tasks.get(uid).title, "Plants");

  await other.tasks.update(uid, { title: "Theirs" });
  const mine = tasks.update(uid, (draft) => { draft.title = "Mine"; });
  assert.equal(tasks.get(uid).title, "Mine");
  await assert.rejects(mine.isPersisted.promise, (error) => error instanceof ConflictError && error.current.title === "Theirs");
  assert.equal(tasks.get(uid).title, "Plants");

  network.swallow(10);
  const lost = tasks.insert({ title: "Lost" });
  await assert.rejects(lost.isPersisted.promise, NetworkError);
  assert.equal(tasks.size, 1);
});

test("a TanStack DB collection of a replica works offline", async (t) => {
  const network = await new Network().open();
  t.after(() => network.close());
  const refused = [];
  const doable = client({ url: network.url });
  const replica = await doable.replica({ storage: memoryStorage(), onRejected: ({ error }) => refused.push(error) });
  t.after(() => replica.close());
  await replica.sync();
  const { tasks, lists } = await open(t, { replica });
  network.isHeld = true;
  network.cut();
  await lists.insert({ name: "Garden" }).isPersisted.promise;
  const [garden] = lists.toArray;
  await tasks.insert([{ title: "Plants", list_id: garden.uid }, { title: "Mow" }]).isPersisted.promise;
  const [plants, mow] = ["Plants", "Mow"].map((title) => tasks.toArray.find((task) => task.title === title));
  const wrong = tasks.insert({ title: " " });
  await wrong.isPersisted.promise;
  await tasks.update(plants.uid, (draft) => { draft.priority = "high"; }).isPersisted.promise;
  await tasks.delete(mow.uid).isPersisted.promise;
  assert.deepEqual([tasks.size, replica.status.pending], [2, 6]);
  assert.equal(replica.task(plants.uid).priority, "high");
  network.isHeld = false;
  network.cut();
  await replica.sync();
  assert.deepEqual([refused.length, refused[0].errors[0].field], [1, "task.title"]);
  assert.deepEqual(tasks.toArray.map(({ title, id }) => [title, id !== null]), [["Plants", true]]);
  const [there] = await client({ user: replica.user }).tasks.list();
  assert.deepEqual([there.uid, there.priority, there.version], [plants.uid, "high", tasks.get(plants.uid).version]);
});

test("after a sign-out, new collections show the tasks of the next user, although the old ones still exist", async (t) => {
  let user = newUser("alice");
  const doable = client({ token: () => user && sign(user) });
  const { tasks: old } = await open(t, { doable });
  user = null;
  await doable.signOut();
  user = newUser("bob");
  const { uid } = await client({ user }).tasks.create({ title: "Bob's" });
  const { tasks } = await open(t, { doable });
  assert.equal(tasks.get(uid).title, "Bob's");
  assert.equal(old.size, 0);
});
