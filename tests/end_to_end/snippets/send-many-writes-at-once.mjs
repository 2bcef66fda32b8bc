import assert from "node:assert/strict";
import { doableFetch } from "./doable.js";
import { persist } from "./persist.js";

const task = await (await persist("/api/me/tasks", { title: "Water the plants" })).json();
const ticked = [task, { id: 987654321 }];
// code
assert.equal(results[0].task.completed, true);
assert.deepEqual(failed.map((result) => result.error.code), ["task_not_found"]);
await assert.rejects(batch([{ op: "delete", id: 987654321 }]), { code: "batch_failed", index: 0 });
console.log("done");
