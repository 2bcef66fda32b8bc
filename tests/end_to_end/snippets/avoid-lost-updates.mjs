import assert from "node:assert/strict";
import { ConflictError, createDoable } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
const choose = async (mine, theirs) => ({ title: `${mine.title} / ${theirs.title}` });
// code
const task = await doable.tasks.create({ title: "Water the plants" });
assert.equal((await save(task, { title: "Water all plants" })).title, "Water all plants");
assert.equal((await save(task, { title: "Water no plants" })).title, "Water no plants / Water all plants");
await assert.rejects(save(task, { title: "" }), { status: 422 });
console.log("done");
