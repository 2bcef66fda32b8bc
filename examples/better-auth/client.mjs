// Calls Doable with the token of the signed-in user. Copy this file into your frontend, for example a Next.js app.
import { decodeJwt } from "jose";

const RENEW_BEFORE_SECONDS = 30;

/** No user is signed in. Show this to the user; do not retry. */
export class SignedOut extends Error {}

/**
 * Returns `doableFetch(path, init)`, which takes the arguments of fetch(), sends the user's token, and retries once with
 * a new token after a 401. It rejects with SignedOut if no user is signed in. `authClient` is Better Auth's client with
 * the jwtClient() plugin. The token stays in memory only, so other pages and later visitors cannot read it.
 */
export function createDoableFetch(authClient, doableURL) {
  let current = null; // { token: a promise, so that concurrent calls share one request; renewAt: ms }

  // After a sign-in or sign-out, the token belongs to another user.
  authClient.$store.listen("$sessionSignal", () => { current = null; });

  function freshToken() {
    if (current && Date.now() < current.renewAt) return current;
    const entry = { renewAt: Infinity };
    entry.token = requestToken(authClient).then(
      ({ token, lifetime }) => {
        entry.renewAt = Date.now() + 1000 * Math.max(lifetime - RENEW_BEFORE_SECONDS, lifetime / 2);
        return token;
      },
      (error) => { forget(entry); throw error; },
    );
    return (current = entry);
  }

  function forget(entry) {
    if (current === entry) current = null; // a late call must not drop a newer token
  }

  return async function doableFetch(path, init = {}) {
    const url = new URL(path, doableURL); // a path, or a whole URL
    if (url.origin !== new URL(doableURL).origin) throw new Error(`The token is for ${doableURL}, not for ${url.origin}.`);

    const attempt = async (entry) => {
      const headers = new Headers(init.headers);
      headers.set("Authorization", `Bearer ${await entry.token}`);
      return fetch(url, { ...init, headers });
    };
    const entry = freshToken();
    const response = await attempt(entry);
    // A stream can be read only once, so such a request cannot be retried.
    if (response.status !== 401 || init.body instanceof ReadableStream) return response;
    await response.body?.cancel();
    forget(entry);
    return attempt(freshToken());
  };
}

async function requestToken(authClient) {
  const { data, error } = await authClient.token();
  if (error?.status === 401) throw new SignedOut("No user is signed in.");
  if (error) throw new Error(`Better Auth returned no token (${error.status}).`);
  const { iat, exp } = decodeJwt(data.token);
  return { token: data.token, lifetime: exp - iat }; // a duration instead of a time, because the browser's clock may be wrong
}
