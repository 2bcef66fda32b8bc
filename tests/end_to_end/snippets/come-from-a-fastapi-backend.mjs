import assert from "node:assert/strict";
import { createDoable } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
// code
const task = await createTask({ title: "Buy a tree", is_completed: false, priority: "High", due_date: "2026-12-24T18:00:00Z" });
assert.equal(task.is_completed, false);
assert.equal(task.due_date, "2026-12-24T18:00:00.000000Z");
assert.deepEqual(await updateTask(task.id, task), task, "what was read can be sent back");
assert.equal((await updateTask(task.id, { due_date: "2026-12-24" })).due_date, "2026-12-24");
assert.equal((await updateTask(task.id, { due_date: "" })).due_date, null);
assert.equal((await toggleTask(task.id)).is_completed, true);
const { tasks, total } = await listTasks({ status: "completed", limit: 1 });
assert.deepEqual([tasks.length, tasks[0].is_completed, total], [1, true, 1]);
await assert.rejects(createTask({ title: "" }), { status: 422, code: "validation_error" });
await deleteTask(task.id);
assert.deepEqual(await listTasks(), { tasks: [], total: 0 });
console.log("done");
