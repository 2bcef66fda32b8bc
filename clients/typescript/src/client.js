import { ConflictError, NetworkError, NotFoundError, errorOf } from "./errors.js";
import { pause } from "./pause.js";
import { follow } from "./stream.js";
import { createTransport } from "./transport.js";
import { newUid } from "./uid.js";

/**
 * @import {
 *   BatchOperationResult, DeleteListData, ImportResult, ItemChangePage, List, ListDraft, ListPatch, ListTasksData,
 *   Task, TaskBatch, TaskChangePage, TaskDraft, TaskImport, TaskPatch, TaskSummary, TrashedList, TrashedTask,
 * } from "./types/types.gen.js"
 * @import { DoableError } from "./errors.js"
 * @import { FollowOptions, Live } from "./stream.js"
 * @import { Answer, RequestOptions, Transport, TransportOptions } from "./transport.js"
 */

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
/** @typedef {Omit<BatchOperationResult, "error"> & {error?: DoableError}} BatchResult */
/** @typedef {Awaited<ReturnType<typeof exporter>>} Export */
/** @typedef {ReturnType<typeof createDoable>} Doable */

/**
 * Creates a client of Doable.
 *
 *     const doable = createDoable({
 *       url: "https://tasks.example.com",
 *       token: async () => (await authClient.token()).data?.token ?? null,
 *     });
 *     const task = await doable.tasks.create({ title: "Water the plants" });
 *
 * All methods reject with the errors of `errors.js`: a DoableError if the service refuses the request, a NetworkError if
 * no response arrives, a SignedOutError if no user is signed in. They retry by themselves where that is safe.
 *
 * @param {TransportOptions} options
 */
export function createDoable(options) {
  const transport = createTransport(options);
  const { request } = transport;
  const exportTo = exporter(transport);
  const importFrom = importer(transport);

  /**
   * Sends a request and returns its body.
   *
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   */
  const send = async (method, path, options) => (await request(method, path, options)).body;

  const doable = {
    tasks: {
      /**
       * Returns all tasks that match, or with `limit` the first page.
       *
       * @param {TaskFilters} [filters]
       * @param {CallOptions} [options]
       * @returns {Promise<Items<Task>>}
       */
      list: async (filters, options) => items(await request("GET", "/tasks", { ...options, query: filters })),

      /**
       * Iterates over the pages of all tasks that match: `for await (const page of doable.tasks.pages({ limit: 50 }))`.
       * Each page is an array.
       *
       * @param {TaskFilters} [filters] `limit` is the length of a page; 100 by default
       * @param {CallOptions} [options]
       * @returns {AsyncGenerator<Items<Task>>}
       */
      pages: (filters, options) => pages(transport, "/tasks", filters, options),

      /**
       * Creates a task. It gets a `uid`, so a retry never creates a second one. A task with the same `uid` that is
       * there already is returned as it is.
       *
       * @param {TaskDraft} draft
       * @param {PostOptions} [options]
       * @returns {Promise<Task>}
       */
      create: (draft, options) => send("POST", "/tasks", { ...options, body: named(draft) }),

      /**
       * @param {Reference} task
       * @param {CallOptions} [options]
       * @returns {Promise<Task>}
       */
      get: (task, options) => send("GET", pathOf("/tasks", task), options),

      /**
       * Changes some fields. A field that is left out keeps its value; null clears it.
       *
       * @param {Reference} task
       * @param {TaskPatch} changes
       * @param {WriteOptions} [options]
       * @returns {Promise<Task>}
       */
      update: (task, changes, options) => write(transport, "/tasks", task, changes, options),

      /**
       * Completes a task. If it is completed already, nothing changes.
       *
       * @param {Reference} task
       * @param {WriteOptions} [options]
       * @returns {Promise<Task>}
       */
      complete: (task, options) => write(transport, "/tasks", task, { completed: true }, options, "/complete"),

      /**
       * Reopens a task. If it is open, nothing changes.
       *
       * @param {Reference} task
       * @param {WriteOptions} [options]
       * @returns {Promise<Task>}
       */
      reopen: (task, options) => write(transport, "/tasks", task, { completed: false }, options, "/complete"),

      /**
       * Completes an open task, or reopens a completed one.
       *
       * @param {Reference} task
       * @param {WriteOptions & PostOptions} [options]
       * @returns {Promise<Task>}
       */
      toggle: (task, options) => send("POST", `${pathOf("/tasks", task)}/complete`, conditional(task, options)),

      /**
       * Moves a task to the trash.
       *
       * @param {Reference} task
       * @param {WriteOptions} [options]
       */
      remove: (task, options) => remove(transport, pathOf("/tasks", task), conditional(task, options)),

      /**
       * Moves all tasks in a state to the trash, and returns how many.
       *
       * @param {"completed" | "pending" | "all"} status
       * @param {CallOptions} [options]
       * @returns {Promise<number>}
       */
      removeMany: async (status, options) => (await send("DELETE", "/tasks", { ...options, query: { status } })).deleted,

      /**
       * Counts the tasks by their state. `tz` is the time zone of "today", such as "Europe/Berlin".
       *
       * @param {{tz?: string}} [filters]
       * @param {CallOptions} [options]
       * @returns {Promise<TaskSummary>}
       */
      summary: (filters, options) => send("GET", "/tasks/summary", { ...options, query: filters }),

      /**
       * Returns a page of the change feed of tasks alone: see `changes`.
       *
       * @param {string} [since]
       * @param {CallOptions & {limit?: number}} [options]
       * @returns {Promise<TaskChangePage>}
       */
      changes: (since = "0", { limit, ...options } = {}) => send("GET", "/tasks/changes", { ...options, query: { since, limit } }),

      /**
       * Follows the changes of tasks alone: see `live`. Their `data` has no `type`.
       *
       * @param {FollowOptions} [options]
       * @returns {Live}
       */
      live: (options) => follow(transport, { path: "/tasks/events", ...options }),
    },

    lists: {
      /**
       * Returns all lists in their manual order. Without `archived`, also the archived ones.
       *
       * @param {{archived?: boolean}} [filters]
       * @param {CallOptions} [options]
       * @returns {Promise<List[]>}
       */
      list: (filters, options) => send("GET", "/lists", { ...options, query: filters }),

      /**
       * Creates a list; see `tasks.create`.
       *
       * @param {ListDraft} draft
       * @param {PostOptions} [options]
       * @returns {Promise<List>}
       */
      create: (draft, options) => send("POST", "/lists", { ...options, body: named(draft) }),

      /**
       * @param {Reference} list
       * @param {CallOptions} [options]
       * @returns {Promise<List>}
       */
      get: (list, options) => send("GET", pathOf("/lists", list), options),

      /**
       * Changes some fields; see `tasks.update`.
       *
       * @param {Reference} list
       * @param {ListPatch} changes
       * @param {WriteOptions} [options]
       * @returns {Promise<List>}
       */
      update: (list, changes, options) => write(transport, "/lists", list, changes, options),

      /**
       * Moves a list to the trash. `tasks` says where its tasks go, and is required if it has any.
       *
       * @param {Reference} list
       * @param {WriteOptions & NonNullable<DeleteListData["query"]>} [options]
       */
      remove: (list, { tasks, ...options } = {}) =>
        remove(transport, pathOf("/lists", list), { ...conditional(list, options), query: { tasks } }),
    },

    trash: {
      /**
       * Returns the deleted tasks, latest deletion first.
       *
       * @param {PageFilters} [filters]
       * @param {CallOptions} [options]
       * @returns {Promise<Items<TrashedTask>>}
       */
      list: async (filters, options) => items(await request("GET", "/trash", { ...options, query: filters })),

      /**
       * Iterates over the pages of deleted tasks.
       *
       * @param {PageFilters} [filters] `limit` is the length of a page; 100 by default
       * @param {CallOptions} [options]
       * @returns {AsyncGenerator<Items<TrashedTask>>}
       */
      pages: (filters, options) => pages(transport, "/trash", filters, options),

      /**
       * Restores a deleted task, with the subtasks that were deleted with it.
       *
       * @param {Reference} task
       * @param {PostOptions} [options]
       * @returns {Promise<Task>}
       */
      restore: (task, options) => send("POST", `${pathOf("/trash", task)}/restore`, options),

      /**
       * Deletes a task of the trash for good.
       *
       * @param {Reference} task
       * @param {CallOptions} [options]
       */
      remove: (task, options) => remove(transport, pathOf("/trash", task), options),

      /**
       * Deletes all tasks and lists of the trash for good, and returns how many.
       *
       * @param {CallOptions} [options]
       * @returns {Promise<number>}
       */
      async empty(options) {
        let total = 0;
        await finish(transport, "/trash", options, ({ body }) => { total += body.deleted; });
        return total;
      },

      /**
       * Returns the deleted lists, latest deletion first.
       *
       * @param {CallOptions} [options]
       * @returns {Promise<TrashedList[]>}
       */
      lists: (options) => send("GET", "/trash/lists", options),

      /**
       * Restores a deleted list, with the tasks that were deleted with it.
       *
       * @param {Reference} list
       * @param {PostOptions} [options]
       * @returns {Promise<List>}
       */
      restoreList: (list, options) => send("POST", `${pathOf("/trash/lists", list)}/restore`, options),

      /**
       * Deletes a list of the trash for good.
       *
       * @param {Reference} list
       * @param {CallOptions} [options]
       */
      removeList: (list, options) => remove(transport, pathOf("/trash/lists", list), options),
    },

    exportTo,
    export: exportTo,
    importFrom,
    import: importFrom,

    /**
     * Executes 1 to 100 operations in one request. By default all of them take effect, or none: then the call fails with
     * a ValidationError, whose `problem.index` names the operation. With `atomic: false` each has its own result.
     *
     * @param {TaskBatch["operations"]} operations
     * @param {PostOptions & {atomic?: boolean}} [options]
     * @returns {Promise<BatchResult[]>} in the order of the operations
     */
    async batch(operations, { atomic = true, ...options } = {}) {
      const { results } = await send("POST", "/batch", { ...options, body: { atomic, operations } });
      return results.map(/** @param {BatchOperationResult} result */ (result) =>
        result.error ? { ...result, error: errorOf(result.status, result.error) } : result);
    },

    /**
     * Returns a page of the changes of tasks and lists after a position. Continue with `next` while `has_more` is true.
     * Fails with a GoneError if the position is no longer known: begin again with "0".
     *
     * @param {string} [since] a position; "0" reads everything
     * @param {CallOptions & {limit?: number}} [options]
     * @returns {Promise<ItemChangePage>}
     */
    changes: (since = "0", { limit, ...options } = {}) => send("GET", "/changes", { ...options, query: { since, limit } }),

    /**
     * Follows the changes of tasks and lists: `for await (const { type, data } of doable.live({ signal }))`. It reconnects
     * by itself, and loses no change.
     *
     * @param {FollowOptions} [options]
     * @returns {Live}
     */
    live: (options) => follow(transport, options),

    /**
     * Opens a local copy of the user's tasks and lists, which works offline. Its code is loaded by the first call.
     *
     * @param {any} [options]
     * @returns {Promise<any>}
     */
    async replica(options) {
      // @ts-ignore
      return (await import("./replica/replica.js")).openReplica(transport, options);
    },

    /**
     * Deletes all data of the user, for good.
     *
     * @param {string} confirm the id of the user
     * @param {CallOptions} [options]
     */
    erase: (confirm, options) => finish(transport, "", { ...options, user: confirm, body: { confirm } }),

    /** Returns the id of the signed-in user. */
    user: transport.user,

    /** Sends any request; `path` is below that of the user, such as "/tasks". */
    request,

    /** Forgets the token, for example after another user has signed in. The next request asks for a new one. */
    renew: transport.renew,

    /** Forgets the token, ends live streams, and erases local copies. Call it when the user signs out. */
    signOut: transport.signOut,
  };
  return doable;
}

/** @param {object & {uid?: string | null}} draft */
const named = (draft) => ({ ...draft, uid: draft.uid ?? newUid() });

/**
 * @param {string} collection
 * @param {Reference} reference
 */
const pathOf = (collection, reference) =>
  `${collection}/${encodeURIComponent(typeof reference === "object" ? reference.id : reference)}`;

/**
 * @param {Reference} reference
 * @param {WriteOptions} [options]
 * @returns {RequestOptions}
 */
function conditional(reference, { ifVersion, ...options } = {}) {
  const version = ifVersion === undefined && typeof reference === "object" ? reference.version : ifVersion;
  return version == null ? options : { ...options, headers: { "If-Match": `"${version}"` } };
}

/**
 * @param {Answer} answer
 * @returns {Items<any>}
 */
function items({ body, headers }) {
  const total = headers.get("X-Total-Count");
  return total === null ? body : Object.assign(body, { total: Number(total) });
}

/**
 * @param {Transport} transport
 * @param {string} path
 * @param {TaskFilters} [filters]
 * @param {CallOptions} [options]
 * @returns {AsyncGenerator<Items<any>>}
 */
async function* pages({ request }, path, filters, options) {
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
async function write({ request }, collection, reference, changes, options, tail = "") {
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
async function remove({ request }, path, options) {
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
async function finish({ request }, path, options, each) {
  for (;;) {
    const answer = await request("DELETE", path, options);
    each?.(answer);
    if (answer.status !== 202) return;
    await pause(1000 * Number(answer.headers.get("Retry-After") ?? 1), options?.signal);
  }
}

/** @param {Transport} transport */
function exporter({ request }) {
  /**
   * Exports all data of the user, as JSON, CSV or iCalendar. The file is not read into memory: use `stream`, `blob` or
   * `text`, one of them and once. They fail if the file ends too early.
   *
   * @param {"json" | "csv" | "ical"} [format]
   * @param {CallOptions & {bom?: boolean}} [options] `bom`: begin a CSV file with a byte order mark, for Excel
   */
  return async function exportTo(format = "json", { bom, ...options } = {}) {
    const query = { format, bom: bom ? 1 : undefined };
    const answer = await request("GET", "/export", { ...options, query, raw: true });
    const response = /** @type {Response} */ (answer.body);
    /** @type {<T>(reading: Promise<T>) => Promise<T>} */
    const whole = (reading) => reading.catch((cause) => {
      if (options.signal?.aborted) throw cause;
      throw new NetworkError("The file ended too early.", { cause });
    });
    return {
      /** The name that the service suggests for the file. */
      name: /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `tasks.${format}`,
      type: response.headers.get("Content-Type"),
      stream: /** @type {ReadableStream<Uint8Array>} */ (response.body),
      blob: () => whole(response.blob()),
      text: () => whole(response.text()),
    };
  };
}

/** @param {Transport} transport */
function importer({ request }) {
  /**
   * Imports a file of an export or a spreadsheet: all of its tasks, or none.
   *
   * @param {TaskImport | string | Blob | Uint8Array} source a file, its text or bytes, or the value of a JSON file
   * @param {PostOptions & {format?: "json" | "csv", onConflict?: "create" | "skip"}} [options] `format` is recognised if
   *   it is left out. `onConflict: "skip"` skips tasks that are there already
   * @returns {Promise<ImportResult>}
   */
  return async function importFrom(source, { format, onConflict, ...options } = {}) {
    const start = typeof source === "string" ? source : source instanceof Uint8Array ? new TextDecoder().decode(source.subarray(0, 100))
      : source instanceof Blob ? await source.slice(0, 100).text() : "{";
    const isJSON = format ? format === "json" : /^\s*\{/.test(start); // no line of a spreadsheet begins with a brace
    const headers = { "Content-Type": isJSON ? "application/json" : "text/csv" };
    const query = { on_conflict: onConflict };
    return (await request("POST", "/import", { timeout: 120_000, ...options, query, headers, body: source })).body;
  };
}
