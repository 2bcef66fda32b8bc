// tests/clients/test_typescript.py puts this file next to the other tests, and RxDB where the client finds it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { createRxDatabase } from "rxdb/plugins/core";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { wrappedValidateAjvStorage } from "rxdb/plugins/validate-ajv";

import { newUid } from "../src/index.js";
import { listSchema, replicateDoable, taskSchema } from "../src/rxdb.js";
import { Network, client, eventually, newUser, sign } from "./service.js";

const storage = wrappedValidateAjvStorage({ storage: getRxStorageMemory() });

/** Opens a database with tasks and lists, which closes at the end of the test. */
async function open(t, schemas = {}) {
  const database = await createRxDatabase({ name: randomUUID(), storage, multiInstance: false });
  t.after(() => database.close());
  await database.addCollections({ tasks: { schema: taskSchema }, lists: { schema: listSchema }, ...schemas });
  return database;
}

/** Replicates both collections, until the end of the test. */
async function replicate(t, { tasks, lists }, doable, options = {}) {
  const errors = [];
  const replications = [replicateDoable({ collection: lists, doable, kind: "list", retryTime: 50, ...options }),
    replicateDoable({ collection: tasks, doable, retryTime: 50, ...options })];
  for (const { error$ } of replications) error$.subscribe((error) => errors.push(error));
  t.after(() => Promise.all(replications.map((one) => one.cancel())));
  await Promise.all(replications.map((one) => one.awaitInitialReplication()));
  const settled = async () => { for (const one of replications) await one.awaitInSync(); };
  return { replications, errors, settled };
}

const until = async (condition) => {
  for (const deadline = Date.now() + 60_000; !await condition(); await new Promise((resolve) => setTimeout(resolve, 10))) {
    assert.ok(Date.now() < deadline, `Not within a minute: ${condition}`);
  }
};

test("an RxDB replication reads what is there, follows changes, and sends writes", async (t) => {
  const user = newUser();
  const other = client({ user });
  const garden = await other.lists.create({ name: "Garden" });
  const plants = await other.tasks.create({ title: "Plants", list_id: garden.id });
  const roses = await other.tasks.create({ title: "Roses", parent_id: plants.id });
  await other.tasks.remove(await other.tasks.create({ title: "Removed" }));
  const database = await open(t);
  const { tasks, lists } = database;
  const { settled, errors } = await replicate(t, database, client({ user }));
  const titles = async () => (await tasks.find().exec()).map(({ title }) => title).sort();
  assert.deepEqual(await titles(), ["Plants", "Roses"]);
  assert.deepEqual((({ list_id, parent_id, id, tags }) => ({ list_id, parent_id, id, tags }))((await tasks.findOne(roses.uid).exec()).toJSON()),
    { list_id: garden.uid, parent_id: plants.uid, id: roses.id, tags: [] });

  const mow = await other.tasks.create({ title: "Mow", list_id: garden.id });
  await until(() => tasks.findOne(mow.uid).exec());
  assert.equal((await tasks.findOne(mow.uid).exec()).list_id, garden.uid);
  await other.tasks.remove(mow.uid);
  await until(async () => !await tasks.findOne(mow.uid).exec());

  const home = await lists.insert({ uid: newUid(), name: "Home" });
  await settled();
  const paint = await tasks.insert({ uid: newUid(), title: " Paint ", list_id: home.uid, tags: ["wall"] });
  await settled();
  await until(() => paint.getLatest().id);
  const there = await other.tasks.get(paint.uid);
  assert.deepEqual([there.title, there.tags, paint.getLatest().title], ["Paint", ["wall"], "Paint"]);
  assert.equal((await other.lists.get(there.list_id)).uid, home.uid);
  for (const priority of ["low", "high"]) await paint.getLatest().incrementalPatch({ priority }); // before the first is acknowledged
  await settled();
  assert.equal((await other.tasks.get(paint.uid)).priority, "high");
  await paint.getLatest().remove();
  await settled();
  assert.deepEqual((await other.tasks.list({ sort: "title" })).map(({ title }) => title), ["Plants", "Roses"]);
  await tasks.insert({ uid: paint.uid, title: "Paint", tags: ["roof"] }); // again
  await settled();
  assert.deepEqual((await other.tasks.get(paint.uid)).tags, ["roof"]);
  assert.deepEqual(errors, []);
});

test("RxDB merges fields that one side has changed, asks its conflict handler about others, and survives refusals", async (t) => {
  const network = await new Network().open();
  t.after(() => network.close());
  const user = newUser();
  const other = client({ user });
  const refused = [];
  const database = await open(t);
  const { tasks } = database;
  const doable = client({ user, url: network.url, retries: 0, timeout: 2000 });
  const { replications: [, replication], settled } = await replicate(t, database, doable, { onRejected: (one) => refused.push(one) });
  const [one, two, three, four] = await Promise.all(["One", "Two", "Three", "Four"].map((title) => tasks.insert({ uid: newUid(), title })));
  await settled();
  await until(() => [one, two, three, four].every((task) => task.getLatest().id));

  network.isHeld = true;
  network.cut();
  const conflicts = [];
  replication.conflict$.subscribe(({ input }) => conflicts.push(input.realMasterState.title));
  await other.tasks.update(one.uid, { description: "theirs", tags: ["theirs"] });
  await one.getLatest().incrementalPatch({ priority: "high", tags: ["mine"] });
  await other.tasks.update(two.uid, { title: "Theirs" });
  await two.getLatest().incrementalPatch({ title: "Mine" });
  await three.getLatest().incrementalPatch({ title: " " });
  await other.tasks.remove(four.uid);
  await four.getLatest().incrementalPatch({ title: "Gone" });
  const blank = await tasks.insert({ uid: newUid(), title: "x".repeat(300) });
  network.isHeld = false;
  network.cut();
  await until(async () => !await tasks.findOne(blank.uid).exec() && !await tasks.findOne(four.uid).exec());
  await settled();
  await until(() => one.getLatest().description === "theirs" && two.getLatest().title === "Theirs" && three.getLatest().title === "Three");
  const there = await other.tasks.get(one.uid);
  assert.deepEqual([there.priority, there.description, [...there.tags].sort()], ["high", "theirs", ["mine", "theirs"]]);
  await until(() => one.getLatest().version === there.version);
  assert.deepEqual((({ priority, description, tags }) => [priority, description, tags])(one.getLatest()), ["high", "theirs", there.tags]);
  assert.ok(conflicts.includes("Theirs"));
  assert.deepEqual(refused.map(({ error, document }) => [error.status, document.uid]).sort(),
    [[404, four.uid], [422, three.uid], [422, blank.uid]].sort());
});

test("an RxDB database is never shared by two users, and a sign-out ends its replication", async (t) => {
  const [ada, bob] = [newUser("ada"), newUser("bob")];
  let user = ada;
  const doable = client({ token: () => (user ? sign(user) : null), retries: 0 });
  const database = await open(t);
  const { tasks } = database;
  const { replications: [lists, replication], errors } = await replicate(t, database, doable);
  const task = await tasks.insert({ uid: newUid(), title: "Ada's" });
  await until(() => task.getLatest().id);
  user = bob;
  doable.renew();
  await client({ user: bob }).tasks.create({ title: "Bob's" });
  await tasks.insert({ uid: newUid(), title: "Also Ada's" });
  await eventually(() => errors.some((error) => /push/i.test(error.parameters?.direction ?? "")));
  replication.reSync();
  await eventually(() => errors.some((error) => error.parameters?.errors?.some(({ message }) => /Another user/.test(message))));
  assert.deepEqual((await tasks.find().exec()).map(({ title }) => title).sort(), ["Ada's", "Also Ada's"]);
  assert.deepEqual((await client({ user: bob }).tasks.list()).map(({ title }) => title), ["Bob's"]);
  user = ada;
  doable.renew();
  await until(async () => (await client({ user: ada }).tasks.list()).length === 2);
  user = null;
  await doable.signOut();
  await eventually(() => replication.isStopped() && lists.isStopped());
});

test("RxDB reads everything again when its position is no longer known", async (t) => {
  const user = newUser();
  const other = client({ user });
  const [kept, gone] = [await other.tasks.create({ title: "Kept" }), await other.tasks.create({ title: "Gone" })];
  let expired = false;
  const doable = client({
    user,
    fetch: (url, init) => fetch(expired ? String(url).replace(/since=(?!0\b)[^&]+/, "since=1000-1") : url, init), // a position of another history
  });
  const database = await open(t);
  const { replications: [, replication], settled } = await replicate(t, database, doable);
  await settled();
  await until(async () => (await database.tasks.find().exec()).length === 2);
  await replication.pause();
  await other.tasks.remove(gone.uid);
  expired = true;
  await replication.start();
  await until(async () => (await database.tasks.find().exec()).length === 1);
  assert.equal((await database.tasks.findOne().exec()).uid, kept.uid);
});
