import assert from "node:assert/strict";
import { persist } from "./persist.js";

// code
assert.equal(response.status, 201);
console.log("done");
