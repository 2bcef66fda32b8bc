import { NetworkError, SignedOutError } from "./errors.js";

const RENEW_BEFORE = 30; // seconds

/**
 * A token, or a function that returns the token of the signed-in user. It returns null if no user is signed in. `refresh`
 * is true if the last token is about to expire, was refused, or may be that of another user: return a new one, not one
 * from a cache.
 *
 * @typedef {string | null | ((options: {refresh: boolean}) => string | null | undefined | Promise<string | null | undefined>)} TokenSource
 */
/** @typedef {{token: string, user: string | undefined}} Identity `user` is undefined if the token is no JWT */
/** @typedef {{identity: Promise<Identity>, renewAt: number}} Entry `renewAt`: 0 if the service has refused the token */

/**
 * Keeps the token in memory only. Concurrent calls share one request for a token.
 *
 * @param {TokenSource | undefined} source
 * @param {number} timeout milliseconds until a request for a token fails; 0 is never
 */
export function createTokens(source, timeout) {
  /** @type {Entry | undefined} */
  let current;
  let refresh = false; // whether there was a token before

  /** @returns {Entry} */
  function ask() {
    /** @type {Entry} */
    const entry = { renewAt: Infinity, identity: read() };
    const last = current;
    entry.identity.then(
      ({ token }) => {
        entry.renewAt = Date.now() + 1000 * usableFor(token);
        refresh = true;
      },
      () => { if (current === entry) current = last; }, // ask again for the next request, also for a new one
    );
    return (current = entry);
  }

  /** @returns {Promise<Identity>} */
  async function read() {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let token;
    try {
      const late = new Promise((_, reject) => {
        if (timeout) timer = setTimeout(() => reject(new Error(`no token within ${timeout} ms`)), timeout);
      });
      token = await (typeof source === "function" ? Promise.race([source({ refresh }), late]) : source);
    } catch (cause) {
      if (cause instanceof SignedOutError) throw cause;
      throw new NetworkError(`The token function failed: ${cause instanceof Error ? cause.message : cause}`, { cause });
    } finally {
      clearTimeout(timer);
    }
    if (!token) throw new SignedOutError();
    const { sub } = claimsOf(token);
    return { token, user: typeof sub === "string" ? sub : undefined };
  }

  return {
    /** Whether a new token can be had. */
    canRenew: typeof source === "function",

    /** Drops the token. */
    forget() {
      current = undefined;
      refresh = true;
    },

    /** Returns the current token, or asks for one. */
    current() {
      return current && (Date.now() < current.renewAt || !this.canRenew) ? current : ask();
    },
  };
}

/**
 * Returns the seconds until a token should be renewed. They are counted from the moment it arrives, because the clock
 * of a browser may be wrong.
 *
 * @param {string} token
 */
function usableFor(token) {
  const { exp, iat = Date.now() / 1000 } = claimsOf(token);
  const lifetime = Number(exp) - Number(iat);
  return lifetime > 0 ? Math.max(lifetime - RENEW_BEFORE, lifetime / 2) : Infinity; // otherwise, a 401 says when
}

/**
 * Returns the claims of a JWT, without checking its signature: only the service can. Empty if it is no JWT.
 *
 * @param {string} token
 * @returns {Record<string, unknown>}
 */
function claimsOf(token) {
  try {
    const payload = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (character) => character.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}
