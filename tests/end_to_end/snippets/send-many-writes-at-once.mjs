import assert from "node:assert/strict";
import { createDoable } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
const task = await doable.tasks.create({ title: "Water the plants" });
const ticked = [task, { id: 987654321 }];
// code
assert.equal(results[0].task.completed, true);
assert.deepEqual(failed.map(({ error }) => error.code), ["task_not_found"]);
console.log("done");
