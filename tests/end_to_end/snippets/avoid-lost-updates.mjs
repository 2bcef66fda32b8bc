import assert from "node:assert/strict";
import { doableFetch } from "./doable.js";

// code
const made = await doableFetch("/api/me/tasks", {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ title: "Water the plants" }),
});
const task = await made.json();
const first = await save(doableFetch, task, { title: "Water all plants" });
assert.equal(first.task.title, "Water all plants");
const second = await save(doableFetch, task, { title: "Water no plants" });
assert.deepEqual(second, { conflict: first.task });
console.log("done");
