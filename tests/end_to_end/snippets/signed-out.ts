// Nobody is signed in: both ends at once, after one question each.
import assert from "node:assert/strict";
import { session } from "./auth-client";
import { SignedOut } from "./doable";
import { listen } from "./live";
import { persist } from "./persist";

const never = () => assert.fail("nothing was read");

session.isSignedIn = false;
await assert.rejects(listen({ change: never, reset: never }, new AbortController().signal), SignedOut);
assert.equal(session.asked, 1);
await assert.rejects(persist("/api/me/tasks", { title: "Water the plants" }), SignedOut);
assert.equal(session.asked, 2, "it was asked again");
process.stdout.write("ended\n");
