import { DoableError, NetworkError, SignedOutError, errorOf } from "./errors.js";
import { prepare, read, secondsAfter } from "./http.js";
import { add, backOff, pause, reasonOf, unlessAborted } from "./pause.js";
import { createTokens } from "./token.js";

/** @import { Entry, TokenSource } from "./token.js" */

/**
 * @typedef {object} TransportOptions
 * @property {string} [url] the address of the service, such as "https://tasks.example.com"; by default, that of the page
 * @property {TokenSource} token
 * @property {typeof globalThis.fetch} [fetch] sends the requests; by default, the global `fetch`
 * @property {number} [retries] how often a failed request is sent again; 4 by default
 * @property {number} [backOff] milliseconds, the longest wait before the first retry; 500 by default
 * @property {number} [longestWait] milliseconds; a request that would wait longer fails; 60,000 by default
 * @property {number} [timeout] milliseconds until an attempt, or a request for a token, fails; 30,000 by default
 */
/**
 * @typedef {object} RequestOptions
 * @property {object} [query] parameters; arrays are repeated, undefined and null are left out
 * @property {unknown} [body] a value to send as JSON; strings, Blobs and byte arrays are sent as they are
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal] ends the request and the waits between attempts
 * @property {string | null} [key] the Idempotency-Key of a POST; by default a new one, unless the body has a uid. null:
 *   none, for a POST that may be repeated anyway
 * @property {string} [user] fail with SignedOutError if the token is not this user's
 * @property {boolean} [raw] return the Response itself as the body, unread
 * @property {RequestCache} [cache] how the browser's cache is used
 * @property {number} [retries] in place of the transport's
 * @property {number} [timeout] in place of the transport's; 0 is none
 */
/** @typedef {{status: number, body: any, headers: Headers, user?: string}} Answer */
/** @typedef {ReturnType<typeof createTransport>} Transport */

const RETRIED = [408, 425, 429, 502, 503, 504];
const LONGEST_BACK_OFF = 10_000; // milliseconds

/**
 * Creates the sender of all requests. It adds the token, renews it, retries, and turns problems into typed errors.
 *
 * @param {TransportOptions} options
 */
export function createTransport(options) {
  const { url = "", retries = 4, backOff: base = 500, longestWait = 60_000, timeout = 30_000 } = options;
  let tokens = createTokens(options.token, timeout);
  /** @type {Set<() => unknown>} */
  const farewells = new Set();
  /** @type {Map<unknown, [storage: {erase: (name: string) => unknown}, name: string]>} */
  let closed = new Map();
  /** @type {Set<() => unknown>} */
  const renewals = new Set();

  /**
   * Sends a request until it succeeds, fails for good, or the retries are used up.
   *
   * A path such as "/tasks" is below that of the signed-in user. The user is the same in all attempts: if another one
   * signs in meanwhile, the request fails with SignedOutError. Every POST names its effect, by a `uid` in its body or by
   * an Idempotency-Key, so a retry never takes effect twice.
   *
   * @param {string} method
   * @param {string} path begins with a slash
   * @param {RequestOptions} [request]
   * @returns {Promise<Answer>} also for 304
   * @throws {DoableError} the service refused the request
   * @throws {NetworkError} no response arrived
   * @throws {SignedOutError} no user is signed in
   */
  async function request(method, path, request = {}) {
    const { signal } = request;
    const init = prepare(method, request);
    let { user } = request;
    let renewed = false;
    let uncertain = false;
    for (let failures = 1; ; failures += 1) {
      /** @type {Entry | undefined} */
      let entry;
      let error;
      try {
        entry = tokens.current();
        const identity = await unlessAborted(entry.identity, signal);
        user ??= identity.user;
        if (user !== identity.user) throw new SignedOutError("Another user has signed in.");
        init.headers.Authorization = `Bearer ${identity.token}`;
        const answer = await attempt(addressOf(user, path, request.query), init, request);
        return { ...answer, user };
      } catch (caught) {
        error = caught;
      }
      if (signal?.aborted) throw reasonOf(signal);
      if (!(error instanceof DoableError || error instanceof NetworkError)) throw error;
      const { status = 0, code, retryAfter = 0 } = /** @type {Partial<DoableError>} */ (error);
      if (status === 401 && entry && tokens.canRenew && !renewed) {
        renewed = true;
        entry.renewAt = 0; // of concurrent calls, the first one asks for a new token
        continue;
      }
      uncertain ||= error.uncertain || status >= 500 || status === 408;
      error.uncertain = uncertain;
      const isFinal = status && !RETRIED.includes(status) && code !== "request_in_progress";
      if (isFinal || failures > (request.retries ?? retries) || 1000 * retryAfter > longestWait) throw error;
      await pause(backOff(base, failures, error, LONGEST_BACK_OFF), signal);
    }
  }

  /**
   * Sends one attempt and reads its response.
   *
   * @param {string} address
   * @param {RequestInit} init
   * @param {RequestOptions} request
   */
  async function attempt(address, init, { signal, raw, timeout: limit = timeout }) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    const timer = limit ? setTimeout(abort, limit) : undefined;
    try {
      const response = await (options.fetch ?? globalThis.fetch)(address, { ...init, signal: stop.signal });
      const { status, headers } = response;
      if (response.ok && raw) return { status, headers, body: response };
      const body = await read(response);
      if (!response.ok && status !== 304) throw errorOf(status, body, secondsAfter(headers));
      return { status, headers, body };
    } catch (cause) {
      raw = false; // there is no body to read
      if (cause instanceof DoableError) throw cause;
      const what = stop.signal.aborted ? `No response arrived within ${limit} ms.` : "No complete response arrived.";
      throw Object.assign(new NetworkError(what, { cause }), { uncertain: true });
    } finally {
      clearTimeout(timer);
      if (!raw) signal?.removeEventListener("abort", abort); // else, it ends the reading of the body
    }
  }

  /**
   * @param {string | undefined} user
   * @param {string} path
   * @param {object} [query]
   */
  function addressOf(user, path, query = {}) {
    const search = Object.entries(query).flatMap(([name, value]) =>
      [value].flat().filter((one) => one != null).map((one) => `${name}=${encodeURIComponent(one)}`)).join("&");
    // URL parsers remove "." and "..". A token that is no JWT has no user; the service refuses it.
    const owner = user && !/^\.\.?$/.test(user) ? encodeURIComponent(user) : "me";
    return `${url.replace(/\/+$/, "")}/api/${owner}${path}${search && `?${search}`}`;
  }

  return {
    request,

    /** The address of the service; empty: that of the page. */
    url,

    /** Milliseconds, the longest wait before a first retry. */
    backOff: base,

    /**
     * Returns the id of the signed-in user: the token's `sub`.
     *
     * @param {{signal?: AbortSignal}} [options]
     * @returns {Promise<string>}
     * @throws {SignedOutError} no user is signed in
     */
    async user({ signal } = {}) {
      const { user } = await unlessAborted(tokens.current().identity, signal);
      if (user === undefined) throw errorOf(401, { detail: "The token is not a JWT, so it names no user." });
      return user;
    },

    /** Forgets the token. The next request asks for a new one. */
    renew() {
      tokens.forget();
      for (const listener of renewals) listener();
    },

    /**
     * Calls a function after each `renew`: another user may have signed in. Returns a function that removes it.
     *
     * @param {() => unknown} listener
     */
    onRenew: (listener) => add(renewals, listener),

    /**
     * Calls a function when the user signs out. Returns a function that removes it.
     *
     * @param {() => unknown} listener
     */
    onSignOut: (listener) => add(farewells, listener),

    /** The copy that was closed last, of each storage. A sign-out erases them too, and leaves another map. */
    get closed() { return closed; },

    /** Forgets the token for good if it was given as a string, and waits for all listeners of `onSignOut`. */
    async signOut() {
      tokens.forget();
      if (!tokens.canRenew) tokens = createTokens(null, 0);
      const copies = closed;
      closed = new Map();
      await Promise.all([
        ...[...farewells].map((listener) => listener()),
        ...[...copies.values()].map(([storage, name]) => storage.erase(name)),
      ]);
    },
  };
}
