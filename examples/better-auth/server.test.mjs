// Tests server.mjs as its users start it: the key set verifies the tokens of each algorithm, also after a rotation.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { createInterface } from "node:readline";
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { answer, createSession, signUp } from "./session.mjs";
import { spawnServer, startServer } from "./testing.mjs";

for (const alg of ["EdDSA", "ES256", "ES512", "RS256", "PS256"]) {
  test(`${alg}: tokens verify with the key set, before and after a rotation`, async (t) => {
    const url = await start(t, { JWT_ALG: alg, DEV_ENDPOINTS: "1" });
    const authClient = createSession(url);
    await signUp(authClient);

    const before = answer(await authClient.token()).token;
    const { retired } = answer(await authClient.$fetch("/dev/rotate-keys", { method: "POST" }));
    const after = answer(await authClient.token()).token;
    assert.deepEqual(retired, [decodeProtectedHeader(before).kid]);

    const keys = createRemoteJWKSet(new URL("/api/auth/jwks", url));
    for (const token of [before, after]) {
      const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: url, audience: url, algorithms: [alg] });
      assert.equal(payload.sub, payload.id);
      assert.equal(payload.exp - payload.iat, 15 * 60);
      assert.deepEqual(Object.keys(protectedHeader), ["alg", "kid"]);
    }
    assert.equal(keys.jwks().keys.length, 2);
  });
}

test("HS256: tokens verify with the secret, and there is no key set", async (t) => {
  const secret = "a secret that this test and its server share, 1977-05-25";
  const url = await start(t, { JWT_ALG: "HS256", BETTER_AUTH_SECRET: secret });
  const authClient = createSession(url);
  await signUp(authClient);
  const { token } = answer(await authClient.token());
  await jwtVerify(token, new TextEncoder().encode(secret), { issuer: url, audience: url, algorithms: ["HS256"] });
  assert.equal((await fetch(new URL("/api/auth/jwks", url))).status, 404);
});

test("keys rotate by themselves, and leave the key set after their grace period", async (t) => {
  const url = await start(t, { JWKS_ROTATION_SECONDS: "1", JWKS_GRACE_SECONDS: "1" });
  const authClient = createSession(url);
  await signUp(authClient);
  const kid = async () => decodeProtectedHeader(answer(await authClient.token()).token).kid;
  const served = async () => answer(await authClient.jwks()).keys.map((key) => key.kid);

  const first = await kid();
  assert.deepEqual(await served(), [first]);
  await until(async () => (await kid()) !== first);
  assert.ok((await served()).includes(first));
  await until(async () => !(await served()).includes(first));
});

test("a wrong setting is one sentence", async () => {
  const child = spawnServer({ JWT_ALG: "none" });
  const [line] = await once(createInterface(child.stderr), "line");
  assert.equal(line, "Better Auth did not start: JWT_ALG is none; it must be one of EdDSA, ES256, ES512, RS256, PS256, HS256.");
  assert.deepEqual(await once(child, "exit"), [1, null]);
});

/** Returns the address of a server that must exit cleanly after the test. */
async function start(t, settings) {
  const { url, stop } = await startServer(settings);
  t.after(async () => assert.deepEqual(await stop(), [0, null]));
  return url;
}

async function until(condition) {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 100, "it did not happen within 10 seconds");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
