// Runs what the how-tos show against a real service, and fails with an exit code.
import assert from "node:assert/strict";
import { session } from "./auth-client";
import { doableFetch, SignedOut } from "./doable";
import { apply, fetchItems, listen, type List, type Task } from "./live";
import { persist } from "./persist";
import { sync } from "./sync";

const fetchTasks = () => fetchItems<Task>("tasks");
const titles = (tasks: Iterable<Task>) => [...tasks].map((task) => task.title).sort();
const until = async (holds: () => boolean) => {
  for (const end = Date.now() + 20_000; !holds(); ) {
    assert(Date.now() < end, `not within 20 seconds: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

// A token that cannot be had for a moment ends neither of the two.
session.failures = 1;
let tasks: Task[] = [];
let lists: List[] = [];
let resets = 0;
const stop = new AbortController();
const listening = listen({
  change: (change) => {
    if (change.type === "task") tasks = apply(tasks, change);
    else lists = apply(lists, change);
  },
  reset: () => { resets += 1; void fetchTasks().then((all) => { tasks = all; }); },
}, stop.signal);
await until(() => resets === 1);
const first = await persist("/api/me/tasks", { title: "Water\u2028the plants" });
assert.equal(first.status, 201);
await until(() => tasks.length === 1);
const { id } = await first.json();
assert.equal((await persist("/api/me/lists", { name: "Garden" })).status, 201);
await until(() => lists.length === 1);
const before = await sync();
assert.deepEqual(titles(before.tasks.values()), ["Water\u2028the plants"]);
assert.equal((await doableFetch(`/api/me/tasks/${id}`, { method: "DELETE" })).status, 204);
await until(() => tasks.length === 0);
const after = await sync(before);
assert.equal(after.tasks.size, 0);
assert.deepEqual([...after.lists.values()], lists);
assert.equal(before.tasks.size, 1, "what the caller holds is left alone");
assert.equal((await sync({ ...before, since: "64a1b2c3d4e5f-9" })).tasks.size, 0, "410 begins anew");
stop.abort();
await listening;

// The same key has its effect once.
const key = crypto.randomUUID();
const answers = [await persist("/api/me/tasks", { title: "Once" }, { key }), await persist("/api/me/tasks", { title: "Once" }, { key })];
assert.deepEqual(answers.map((answer) => answer.headers.get("Idempotency-Replayed")), [null, "true"]);
assert.deepEqual(titles(await fetchTasks()), ["Once"]);

// What a handler throws is no broken stream.
await assert.rejects(listen({ change: () => {}, reset: () => { throw new TypeError("a bug"); } }, new AbortController().signal), /a bug/);
process.stdout.write("followed\n");
