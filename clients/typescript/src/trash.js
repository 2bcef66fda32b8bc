import { finish, items, pages, pathOf, remove, send } from "./calls.js";

/** @import { CallOptions, Items, PageFilters, PostOptions, Reference } from "./calls.js" */
/** @import { Transport } from "./transport.js" */
/** @import { List, Task, TrashedList, TrashedTask } from "./types/types.gen.js" */

/**
 * Creates the methods for the trash.
 *
 * @param {Transport} transport
 */
export const createTrash = (transport) => ({
  /**
   * Returns the deleted tasks, latest deletion first.
   *
   * @param {PageFilters} [filters]
   * @param {CallOptions} [options]
   * @returns {Promise<Items<TrashedTask>>}
   */
  list: async (filters, options) => items(await transport.request("GET", "/trash", { ...options, query: filters })),

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
  restore: (task, options) => send(transport, "POST", `${pathOf("/trash", task)}/restore`, options),

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
  lists: (options) => send(transport, "GET", "/trash/lists", options),

  /**
   * Restores a deleted list, with the tasks that were deleted with it.
   *
   * @param {Reference} list
   * @param {PostOptions} [options]
   * @returns {Promise<List>}
   */
  restoreList: (list, options) => send(transport, "POST", `${pathOf("/trash/lists", list)}/restore`, options),

  /**
   * Deletes a list of the trash for good.
   *
   * @param {Reference} list
   * @param {CallOptions} [options]
   */
  removeList: (list, options) => remove(transport, pathOf("/trash/lists", list), options),
});
