import { finish, send } from "./calls.js";
import { errorOf } from "./errors.js";
import { createLists } from "./lists.js";
import { follow } from "./stream.js";
import { createTasks } from "./tasks.js";
import { exporter, importer } from "./transfer.js";
import { createTransport } from "./transport.js";
import { createTrash } from "./trash.js";

/** @import { CallOptions, PostOptions } from "./calls.js" */
/** @import { DoableError } from "./errors.js" */
/** @import { FollowOptions, Live } from "./stream.js" */
/** @import { Replica, ReplicaOptions } from "./replica/replica.js" */
/** @import { Answer, RequestOptions, TransportOptions } from "./transport.js" */
/** @import { BatchOperationResult, ItemChangePage, TaskBatch } from "./types/types.gen.js" */

/** @typedef {Omit<BatchOperationResult, "error"> & {error?: DoableError}} BatchResult */
/** @typedef {ReturnType<typeof createDoable>} Doable */

/**
 * Creates a client of Doable.
 *
 *     const doable = createDoable({
 *       url: "https://tasks.example.com",
 *       token: betterAuthToken(authClient), // or any function that returns the user's token
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

  return {
    tasks: createTasks(transport),
    lists: createLists(transport),
    trash: createTrash(transport),
    export: exporter(transport),
    import: importer(transport),

    /**
     * Executes 1 to 100 operations in one request. By default all of them take effect, or none: then the call fails with
     * a ValidationError, whose `problem.index` names the operation. With `atomic: false` each has its own result.
     *
     * @param {TaskBatch["operations"]} operations
     * @param {PostOptions & {atomic?: boolean}} [options]
     * @returns {Promise<BatchResult[]>} in the order of the operations
     */
    async batch(operations, { atomic = true, ...options } = {}) {
      const { results } = await send(transport, "POST", "/batch", { ...options, body: { atomic, operations } });
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
    changes: (since = "0", { limit, ...options } = {}) => send(transport, "GET", "/changes", { ...options, query: { since, limit } }),

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
     * @param {ReplicaOptions} [options]
     * @returns {Promise<Replica>}
     */
    replica: async (options) => (await import("./replica/replica.js")).openReplica(transport, options),

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
    request: transport.request,

    /** Forgets the token, for example after another user has signed in. The next request asks for a new one. */
    renew: transport.renew,

    /** Forgets the token, ends live streams, and erases local copies. Call it when the user signs out. */
    signOut: transport.signOut,
  };
}

