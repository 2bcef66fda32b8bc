import assert from "node:assert/strict";
import { createDoable, newUid } from "doable-client";

const doable = createDoable({ url: process.env.DOABLE_URL, token: process.env.TOKEN });
const localStorage = { setItem: (_name, text) => { stored = text; }, removeItem: () => {} };
let stored;
// code
assert.deepEqual(await doable.tasks.create(JSON.parse(stored)), task);
assert.deepEqual(await doable.tasks.list(), [task]);
console.log("done");
