import assert from "node:assert/strict";
import { doableFetch } from "./doable.js";

// code
assert.equal(task.title, "Water the plants");
for (let number = 0; number < 60; number += 1) {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ title: `Task ${number}` }) };
  assert.equal((await doableFetch("/api/me/tasks", init)).status, 201);
}
const lengths = [];
const show = (page) => lengths.push(page.length);
// code
assert.deepEqual(lengths, [50, 11]);
console.log("done");
