// What a frontend needs to call Doable: fetch() with the token of the signed-in user. Copy this file into a Next.js app.
import { decodeJwt } from "jose";

const RENEW_BEFORE_SECONDS = 30;

/** Nobody is signed in: a thing to show to the person, and never to try again. */
export class SignedOut extends Error {}

/**
 * Resolves to a `doableFetch(path, init)` that takes what fetch() takes, sends the user's token along, and tries once
 * more with a new one after a 401. It rejects with SignedOut when nobody is signed in. `authClient` is Better Auth's client with the
 * jwtClient() plugin. The token is kept in memory alone, where no other page and no later visitor finds it.
 */
export function createDoableFetch(authClient, doableURL) {
  let current = null; // { token: a promise, so that parallel calls share one request; renewAt: ms }

  // Signing in or out makes the token somebody else's.
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
    if (current === entry) current = null; // a call that comes late must not drop the token that replaced its own
  }

  return async function doableFetch(path, init = {}) {
    const url = new URL(path, doableURL); // a path, or a whole URL as the Link header of a page gives
    if (url.origin !== new URL(doableURL).origin) throw new Error(`The token is for ${doableURL}, not for ${url.origin}.`);

    const attempt = async (entry) => {
      const headers = new Headers(init.headers);
      headers.set("Authorization", `Bearer ${await entry.token}`);
      return fetch(url, { ...init, headers });
    };
    const entry = freshToken();
    const response = await attempt(entry);
    // A stream can be read only once, so such a request cannot be sent again.
    if (response.status !== 401 || init.body instanceof ReadableStream) return response;
    await response.body?.cancel();
    forget(entry);
    return attempt(freshToken());
  };
}

async function requestToken(authClient) {
  const { data, error } = await authClient.token();
  if (error?.status === 401) throw new SignedOut("Nobody is signed in.");
  if (error) throw new Error(`Better Auth gave no token (${error.status}).`);
  const { iat, exp } = decodeJwt(data.token);
  return { token: data.token, lifetime: exp - iat }; // a span rather than a moment: the browser's clock may be wrong
}
