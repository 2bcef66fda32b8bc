import assert from "node:assert/strict";
import { test } from "node:test";

import { betterAuthToken } from "../src/better-auth.js";
import { NetworkError, SignedOutError, createDoable } from "../src/index.js";
import { URL_OF_SERVICE, newUser, sign } from "./service.js";

/** Creates a client whose Better Auth gives these answers, one after the other. */
const clientWith = (...answers) =>
  createDoable({ url: URL_OF_SERVICE, retries: 0, token: betterAuthToken({ token: async () => answers.shift() }) });

test("Better Auth's token is sent to the service", async () => {
  const doable = clientWith({ data: { token: sign(newUser()) }, error: null });
  assert.deepEqual(await doable.tasks.list(), []);
});

test("a user without a session is signed out", async () => {
  await assert.rejects(clientWith({ data: null, error: { status: 401 } }).tasks.list(), SignedOutError);
});

test("a failing Better Auth is no sign-out, and the next call asks again", async () => {
  const doable = clientWith({ data: null, error: { status: 503 } }, { data: { token: sign(newUser()) }, error: null });
  await assert.rejects(doable.tasks.list(), (error) =>
    error instanceof NetworkError && !error.uncertain && /answered with status 503/.test(error.message));
  assert.deepEqual(await doable.tasks.list(), []);
});
