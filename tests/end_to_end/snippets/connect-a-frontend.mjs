import assert from "node:assert/strict";
import { createDoable } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
for (let number = 0; number < 60; number += 1) await doable.tasks.create({ title: `Task ${number}` });
const lengths = [];
const show = (page) => lengths.push(page.length);
// code
assert.equal(task.title, "Water the plants");
assert.deepEqual(lengths, [50, 11]);
console.log("done");
