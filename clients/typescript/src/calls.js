import { ConflictError, NotFoundError } from "./errors.js";
import { pause } from "./pause.js";
import { newUid } from "./uid.js";

/** @import { ListTasksData, Task } from "./types/types.gen.js" */
/** @import { Answer, RequestOptions, Transport } from "./transport.js" */

/** @typedef {number | string} Id an id or a uid */
/**
 * A task or list, by its id, its uid, or as it was read. A write to one that was read is conditional: it fails with a
 * ConflictError if there is a newer version.
 *
 * @typedef {Id | {id: number, version: number}} Reference
 */
/** @typedef {{signal?: AbortSignal}} CallOptions */
/** @typedef {CallOptions & {key?: string}} PostOptions `key` is the Idempotency-Key; by default, each call has its own */
/**
 * `ifVersion` is the version that the write is for. By default, it is that of the task or list which the call is given.
 * null means any version.
 *
 * @typedef {CallOptions & {ifVersion?: number | null}} WriteOptions
 */
/** @typedef {{limit?: number, cursor?: string, count?: boolean}} PageFilters */
/**
 * @typedef {Omit<NonNullable<ListTasksData["query"]>, "list" | "parent" | "priority" | "tag"> & {
 *   list?: Id | Id[], parent?: Id, priority?: Task["priority"] | Task["priority"][], tag?: string | string[],
 * }} TaskFilters
 */
/**
 * @template T
 * @typedef {T[] & {total?: number}} Items `total` is the number of all matching items, if `count` is true
 */

/**
 * Sends a request and returns its body.
 *
 * @param {Transport} transport
 * @param {string} method
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export const send = async ({ request }, method, path, options) => (await request(method, path, options)).body;

/**
 * Returns a draft with a `uid`, so that a repeated create names the same task or list.
 *
 * @param {object & {uid?: string | null}} draft
 */
export const named = (draft) => ({ ...draft, uid: draft.uid ?? newUid() });

/**
 * Returns the path of a task or list.
 *
 * @param {string} collection
 * @param {Reference} reference
 */
export const pathOf = (collection, reference) =>
  `${collection}/${encodeURIComponent(typeof reference === "object" ? reference.id : reference)}`;

/**
 * Returns the options of a request that is conditional, if a version is known.
 *
 * @param {Reference} reference
 * @param {WriteOptions} [options]
 * @returns {RequestOptions}
 */
export function conditional(reference, { ifVersion, ...options } = {}) {
  const version = ifVersion === undefined && typeof reference === "object" ? reference.version : ifVersion;
  return version == null ? options : { ...options, headers: { "If-Match": `"${version}"` } };
}

/**
 * Returns the items of a page, with their total if the response names it.
 *
 * @param {Answer} answer
 * @returns {Items<any>}
 */
export function items({ body, headers }) {
  const total = headers.get("X-Total-Count");
  return total === null ? body : Object.assign(body, { total: Number(total) });
}

/**
 * Iterates over pages. The next page has the same filters, and the cursor of the link.
 *
 * @param {Transport} transport
 * @param {string} path
 * @param {TaskFilters} [filters]
 * @param {CallOptions} [options]
 * @returns {AsyncGenerator<Items<any>>}
 */
export async function* pages({ request }, path, filters, options) {
  /** @type {object | undefined} */
  let query = { limit: 100, ...filters };
  while (query) {
    const answer = await request("GET", path, { ...options, query });
    yield items(answer);
    const next = /<[^>]*[?&]cursor=([^&>]+)[^>]*>; rel="?next/.exec(answer.headers.get("Link") ?? "");
    query = next ? { ...query, cursor: decodeURIComponent(next[1]) } : undefined;
  }
}

/**
 * Changes fields. If the response to an earlier attempt got lost, a 412 may be due to that attempt itself: then the
 * current state has the new values.
 *
 * @param {Transport} transport
 * @param {string} collection
 * @param {Reference} reference
 * @param {Record<string, any>} changes
 * @param {WriteOptions} [options]
 * @param {string} [tail]
 */
export async function write({ request }, collection, reference, changes, options, tail = "") {
  try {
    const call = { ...conditional(reference, options), body: changes };
    return (await request("PATCH", pathOf(collection, reference) + tail, call)).body;
  } catch (error) {
    const current = error instanceof ConflictError && error.uncertain && /** @type {any} */ (error.current);
    const isDone = current && Object.entries(changes).every(([name, value]) =>
      name === "if_version" || JSON.stringify(value) === JSON.stringify(current[name]));
    if (!isDone) throw error;
    return current;
  }
}

/**
 * Deletes. If the response to an earlier attempt got lost, a 404 is due to that attempt.
 *
 * @param {Transport} transport
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export async function remove({ request }, path, options) {
  try {
    await request("DELETE", path, options);
  } catch (error) {
    if (!(error instanceof NotFoundError && error.uncertain)) throw error;
  }
}

/**
 * Repeats a deletion while the service answers 202: one request had no time for everything.
 *
 * @param {Transport} transport
 * @param {string} path
 * @param {RequestOptions} [options]
 * @param {(answer: Answer) => void} [each]
 */
export async function finish({ request }, path, options, each) {
  for (;;) {
    const answer = await request("DELETE", path, options);
    each?.(answer);
    if (answer.status !== 202) return;
    await pause(1000 * Number(answer.headers.get("Retry-After") ?? 1), options?.signal);
  }
}

