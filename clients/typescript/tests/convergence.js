// Replicas of one user write at random, online and offline, while instances, connections and the service are killed. At the
// end, all copies must equal the service, and each write must be there, or have been refused for a reason.
import assert from "node:assert/strict";

import { memoryStorage } from "../src/replica/replica.js";
import { Network, client, newUser } from "./service.js";

const KINDS = ["task", "list"];
// The reasons why another replica's write may cause a refusal: an item is gone, or a family or a place has changed.
const CODES = ["task_not_found", "list_not_found", "in_trash"];
const FIELDS = ["parent_id", "list_id", "after", "before"];

/** A generator of random numbers (mulberry32), so that a seed names a run. */
function randomOf(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, below: (count) => Math.floor(next() * count), pick: (items) => items[Math.floor(next() * items.length)] };
}

/** What all devices of a user have written, and what must therefore be true at the end. */
class World {
  user = newUser("seed");
  made = { task: new Set(), list: new Set() };
  expected = new Map(); // by uid: the last value of each field, and the tags
  purged = new Set();
  writes = 0;
  refusals = 0;
  surprises = []; // refusals for other reasons

  constructor(seed) {
    this.seed = seed;
    this.random = randomOf(seed);
  }

  expect(uid, name, value) {
    this.expected.set(uid, { ...this.expected.get(uid), [name]: value });
  }

  refuse({ error, op, kind, uid, changes }) {
    this.refusals += 1;
    const known = CODES.includes(error.code) || error.errors?.every(({ field }) => FIELDS.some((one) => field.endsWith(one)));
    if (!known) this.surprises.push(`${op} ${JSON.stringify(changes)} is refused: ${JSON.stringify(error.problem)}`);
    for (const name of Object.keys(changes)) delete this.expected.get(uid)?.[name];
    for (const tag of changes.tags ?? []) delete this.expected.get(uid)?.[`tag ${tag}`];
    if (op === "create" && error.code !== "in_trash") this.made[kind].delete(uid) && this.expected.delete(uid);
  }
}

/** A device writes one field that no other device writes, and much that all devices write. */
class Device {
  constructor(world, url, field) {
    Object.assign(this, { world, url, field, storage: memoryStorage() });
  }

  async start({ isHeld = false } = {}) {
    const network = (this.network ??= await new Network().open(this.url));
    network.isHeld = isHeld;
    const life = { isOver: false };
    const open = async (name) => {
      const opened = await this.storage.open(name);
      return { ...opened, write: async (...edits) => { if (!life.isOver) await opened.write(...edits); } };
    };
    this.life = life;
    this.replica = await client({ user: this.world.user, url: network.url, backOff: 20 }).replica({
      storage: { ...this.storage, open },
      onRejected: (refused) => life.isOver || this.world.refuse(refused),
    });
  }

  /** Ends the instance as if its process was killed. What `stored` has waited for is kept. */
  async kill() {
    await this.replica.stored();
    this.life.isOver = true;
    this.break(true);
    await this.replica.close();
  }

  /** Breaks the connections; they remain broken if `isHeld`. */
  break(isHeld) {
    this.network.isHeld = isHeld;
    this.network.cut();
  }

  value() {
    const count = (this.world.writes += 1);
    return this.field === "due_at" ? new Date(1.8e12 + 1000 * count).toISOString().replace("Z", "000Z") : `${this.field} ${count}`;
  }

  write() {
    const { replica, world, field } = this;
    const { random } = world;
    const [tasks, lists] = [replica.tasks({ archived: true }), replica.lists()];
    const task = random.pick(tasks);
    const list = random.pick(lists);
    const value = this.value();
    const home = () => (list && random.next() < 0.6 ? list.uid : null);
    const actions = {
      create: [8, () => {
        const tops = tasks.filter((one) => !one.parent_id);
        const place = tops.length && random.next() < 0.4 ? { parent_id: random.pick(tops).uid } : { list_id: home() };
        const { uid } = replica.create({ title: "New", ...place, [field]: value });
        world.made.task.add(uid);
        world.expect(uid, field, value);
      }],
      change: [9, () => replica.update(task.uid, { [field]: value }) && world.expect(task.uid, field, value)],
      tag: [5, () => {
        if (task.tags.length > 14) return;
        replica.update(task.uid, { tags: [...task.tags, value.slice(-20)] });
        world.expect(task.uid, `tag ${value.slice(-20)}`, true);
      }],
      priority: [2, () => replica.update(task.uid, { priority: random.pick(["none", "low", "medium", "high"]) })],
      toggle: [4, () => (task.completed ? replica.reopen(task.uid) : replica.complete(task.uid))],
      order: [4, () => {
        const siblings = tasks.filter((one) => one.uid !== task.uid && one.parent_id === task.parent_id && one.list_id === task.list_id);
        replica.move(task.uid, siblings.length ? { [random.pick(["after", "before"])]: random.pick(siblings).uid } : { after: null });
      }],
      move: [2, () => replica.move(task.uid, { parent_id: null, list_id: home() })],
      remove: [2, () => replica.remove(task.uid)],
      restore: [1, () => replica.restore(random.pick([...world.made.task]))],
      createList: [1, () => world.made.list.add(replica.createList({ name: `List ${value}` }).uid)],
      updateList: [1, () => list && replica.updateList(list.uid, { color: "#2e7d32", archived: random.next() < 0.2 })],
      removeList: [0.5, () => list && replica.removeList(list.uid, { tasks: random.pick(["inbox", "trash"]) })],
      restoreList: [0.5, () => world.made.list.size && replica.restoreList(random.pick([...world.made.list]))],
    };
    const choice = Object.values(actions).flatMap(([weight, act]) => Array(2 * weight).fill(act));
    (task ? random.pick(choice) : actions.create[1])();
  }
}

/** Deletes what lies in the trash for good, so that older positions of the feed are no longer known. */
async function purge(world, { trash }) {
  for (const [rows, remove] of [[await trash.list(), trash.remove], [await trash.lists(), trash.removeList]]) {
    for (const { uid } of rows) {
      world.purged.add(uid);
      await remove(uid).catch((error) => { if (error.status !== 404) throw error; });
    }
  }
}

/** Returns rows by uid as the copies have them. */
function byUid(rows, all = rows) {
  const uids = new Map(all.map(({ id, uid }) => [id, uid]));
  const nameOf = (reference) => (typeof reference === "number" ? uids.get(reference) : reference);
  return Object.fromEntries(rows.map(({ type: _, user_id: __, ...row }) => [row.uid,
    { ...row, ...("list_id" in row && { list_id: nameOf(row.list_id), parent_id: nameOf(row.parent_id) }) }]).sort());
}

const rowsOf = (replica) => byUid([...replica.tasks({ archived: true }), ...replica.lists()]);

/**
 * Runs one seed against a service at `url`, which may be killed and started again meanwhile.
 */
export async function converge(seed, url, steps = 60) {
  const world = new World(seed);
  const doable = client({ user: world.user, url, backOff: 50, retries: 20 });
  const devices = ["title", "description", "due_at"].map((field) => new Device(world, url, field));
  try {
    for (const device of devices) await device.start();
    return await run(world, devices, doable, steps);
  } finally {
    for (const device of devices) {
      await device.kill();
      await device.network.close();
    }
  }
}

async function run(world, devices, doable, steps) {
  const { random } = world;
  for (let step = 0; step < steps; step += 1) {
    const device = random.pick(devices);
    for (let writes = random.below(4); writes > 0; writes -= 1) device.write();
    const fault = random.next();
    if (fault < 0.08) {
      await device.kill();
      await device.start({ isHeld: random.next() < 0.5 });
    } else if (fault < 0.2) device.break(true);
    else if (fault < 0.4) device.break(false);
    else if (fault < 0.5) device.network.swallow(1 + random.below(2));
    else if (fault < 0.52) await purge(world, doable);
    await new Promise((resolve) => { setTimeout(resolve, random.below(3) ? 0 : random.below(40)); });
  }

  for (const device of devices) device.break(false);
  for (const _ of ["send what waits", "read what the others have sent"]) {
    await Promise.all(devices.map(({ replica }) => replica.sync()));
  }
  assert.deepEqual(world.surprises, []);
  const rows = [];
  for (let page = { next: "0", has_more: true }; page.has_more;) {
    page = await doable.changes(page.next);
    rows.push(...page.changes.filter(({ deleted }) => !deleted));
  }
  const there = byUid(rows);
  for (const { field, replica } of devices) {
    assert.equal(replica.status.pending, 0);
    assert.deepEqual(rowsOf(replica), there, `the copy of the device that writes ${field} differs`);
  }
  for (const device of devices) {
    await device.kill();
    await device.start({ isHeld: true });
    assert.deepEqual(rowsOf(device.replica), there, `the stored copy of the device that writes ${device.field} differs`);
  }

  const deleted = [...await doable.trash.lists()];
  for await (const page of doable.trash.pages({ limit: 1000 })) deleted.push(...page);
  const known = { ...byUid(deleted, [...deleted, ...rows]), ...there };
  for (const kind of KINDS) for (const uid of world.made[kind]) assert.ok(known[uid] || world.purged.has(uid), `the ${kind} ${uid} is lost`);
  for (const [uid, fields] of world.expected) {
    if (world.purged.has(uid)) continue;
    for (const [name, value] of Object.entries(fields)) {
      const found = name.startsWith("tag ") ? known[uid].tags.includes(name.slice(4)) : known[uid][name];
      assert.deepEqual(found, value, `${name} of ${uid} is lost`);
    }
  }
  return { writes: world.writes, refusals: world.refusals, rows: Object.keys(known).length };
}
