import assert from "node:assert/strict";
import { createDoable } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
const until = async (holds) => {
  for (const end = Date.now() + 30_000; !holds(); ) {
    assert(Date.now() < end, `not within 30 seconds: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
let shown;
const show = (tasks) => { shown = tasks.map(({ title }) => title); };
// code
assert.deepEqual(shown, ["Water the plants"]);
await replica.sync();
stop();
await replica.close();
const ending = new AbortController();
const { signal } = ending;
const stored = [];
const store = (id) => stored.push(id);
// code
const following = follow();
await until(() => tasks.size === 1);
const [task] = tasks.values();
assert.equal(task.title, "Water the plants");
await doable.tasks.remove(task);
await until(() => tasks.size === 0);
ending.abort();
await following;
assert.match(stored.at(-1), /^[0-9a-f]+-\d+$/);
console.log("done");
