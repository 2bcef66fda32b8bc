import { DoableError, NetworkError, SignedOutError } from "./errors.js";
import { backOff, pause } from "./pause.js";

/** @import { Change, ChangedList, ChangedTask, ListTombstone, TaskTombstone } from "./types/types.gen.js" */
/** @import { Transport } from "./transport.js" */

/**
 * - `task`, `list`: a change; `data` is the new state, or a tombstone with `deleted: true`.
 * - `position`: the position has advanced without a change. It is also the first event of each connection.
 * - `reset`: the changes since the last position are no longer known. Read everything again; the stream continues.
 *
 * @typedef {{type: "task", id: string, data: ChangedTask | TaskTombstone}
 *   | {type: "list", id: string, data: ChangedList | ListTombstone}
 *   | {type: "position", id: string, data?: undefined}
 *   | {type: "reset", id: string, data: {next: string}}} LiveEvent
 */
/** @typedef {"connecting" | "open" | "waiting" | "closed"} LiveState */
/**
 * @typedef {object} FollowOptions
 * @property {string} [path] "/events", or "/tasks/events" for tasks alone
 * @property {string} [since] a position; by default, the stream begins with the next change
 * @property {AbortSignal} [signal] ends the stream
 * @property {number} [silence] milliseconds without data after which the connection counts as broken; 45,000 by default
 * @property {string} [user] fail with SignedOutError if the token is not this user's
 * @property {(state: LiveState, error?: unknown) => void} [onState] is called with each new state; `error` says why
 */
/** @typedef {Exclude<LiveEvent, {type: "task" | "list"}> | {type: "task", id: string, data: Change}} TaskEvent an event of tasks alone */
/**
 * @template [E=LiveEvent]
 * @typedef {AsyncIterable<E> & {readonly state: LiveState, readonly position: string | undefined}} Live
 */

/**
 * Follows the changes of the user's tasks and lists, until `signal` aborts or the loop ends.
 *
 * A broken connection is opened again, after a wait that grows with each failure, and continues after the last event
 * that the loop has handled. The loop fails with SignedOutError if the user signs out or another one signs in, and with a
 * DoableError if the service refuses the stream for good.
 *
 * @param {Transport} transport
 * @param {FollowOptions} [options]
 * @returns {Live} may be iterated once
 */
export function follow(transport, options = {}) {
  const { path = "/events", signal, silence = 45_000, onState } = options;
  let { since: position, user } = options;
  /** @type {LiveState} */
  let state = "connecting";

  /** @param {LiveState} next @param {unknown} [error] */
  const change = (next, error) => {
    if (state === next && next !== "connecting") return;
    state = next;
    onState?.(next, error);
  };

  /** @returns {AsyncGenerator<LiveEvent>} */
  async function* events() {
    let base = 2000; // milliseconds, until the service sends another value
    let failures = 0;
    /** @type {unknown} */
    let error;
    /** @type {unknown} */
    let farewell;
    const stop = new AbortController();
    const end = () => stop.abort();
    signal?.addEventListener("abort", end, { signal: stop.signal });
    if (signal?.aborted) end();
    const stay = transport.onSignOut(() => {
      farewell = new SignedOutError();
      end();
    });
    try {
      while (!stop.signal.aborted) {
        change("connecting");
        const connection = new AbortController();
        const abort = () => connection.abort();
        stop.signal.addEventListener("abort", abort, { signal: connection.signal });
        // A connection may break without a sign of it, and another user may have signed in.
        const removals = [on("offline", abort), transport.onRenew(abort)];
        try {
          /** @type {Record<string, string>} */
          const headers = position === undefined ? {} : { "Last-Event-ID": position };
          // It must neither wait for the browser's cache nor fill it.
          const { body, user: owner } = await transport.request("GET", path, { headers, user, signal: connection.signal, raw: true, cache: "no-store", retries: 0 });
          user = owner;
          for await (const { event, data, id, retry } of blocks(body, silence, connection)) {
            failures = 0;
            change("open");
            base = Number(retry) || base;
            if (!id) continue; // a comment
            const type = /** @type {any} */ (event ?? "position");
            yield { type, id, data: data && JSON.parse(data) };
            position = id; // after the loop has handled the event
          }
          error = undefined;
        } catch (caught) {
          error = caught;
          const final = caught instanceof DoableError ? caught.code && caught.status < 500 && ![408, 425, 429].includes(caught.status)
            : !(caught instanceof NetworkError || connection.signal.aborted);
          if (final) throw caught;
        } finally {
          removals.forEach((remove) => remove());
          abort();
        }
        if (stop.signal.aborted) break;
        change("waiting", error);
        failures += 1;
        await pause(backOff(base, failures, error), stop.signal, (wake) => on("online", wake)).catch(() => {}); // aborted
      }
    } finally {
      end();
      stay();
      change("closed");
    }
    if (farewell) throw farewell;
  }

  return {
    get state() { return state; },
    get position() { return position; },
    [Symbol.asyncIterator]: events,
  };
}

/**
 * Listens to an event of the page or worker. Returns a function that ends this.
 *
 * @param {"online" | "offline"} event
 * @param {() => void} listener
 */
export function on(event, listener) {
  globalThis.addEventListener?.(event, listener);
  return () => globalThis.removeEventListener?.(event, listener);
}

/**
 * Yields the blocks of a stream of server-sent events as objects of their fields. A comment is an empty object.
 *
 * @param {Response} response
 * @param {number} silence milliseconds
 * @param {AbortController} connection
 * @returns {AsyncGenerator<Record<string, string>>}
 */
async function* blocks(response, silence, connection) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  for (;;) {
    const timer = setTimeout(() => connection.abort(), silence);
    let part;
    try {
      part = await reader.read();
    } catch (cause) {
      throw new NetworkError("The stream broke, or was silent for too long.", { cause });
    } finally {
      clearTimeout(timer);
    }
    if (part.done) return; // the service sends an incomplete event again
    buffer += decoder.decode(part.value, { stream: true });
    const whole = buffer.split("\n\n");
    buffer = /** @type {string} */ (whole.pop());
    for (const block of whole) {
      // A value may contain U+2028, which is no end of a line here.
      yield Object.fromEntries(block.split("\n").map((line) => /^(\w+): ?(.*)/s.exec(line)?.slice(1) ?? []));
    }
  }
}
