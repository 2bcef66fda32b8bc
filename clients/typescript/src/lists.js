import { conditional, named, pathOf, remove, send, write } from "./calls.js";

/** @import { CallOptions, PostOptions, Reference, WriteOptions } from "./calls.js" */
/** @import { Transport } from "./transport.js" */
/** @import { DeleteListData, List, ListDraft, ListPatch } from "./types/types.gen.js" */

/**
 * Creates the methods for lists.
 *
 * @param {Transport} transport
 */
export const createLists = (transport) => ({
  /**
   * Returns all lists in their manual order. Without `archived`, also the archived ones.
   *
   * @param {{archived?: boolean}} [filters]
   * @param {CallOptions} [options]
   * @returns {Promise<List[]>}
   */
  list: (filters, options) => send(transport, "GET", "/lists", { ...options, query: filters }),

  /**
   * Creates a list; see `tasks.create`.
   *
   * @param {ListDraft} draft
   * @param {PostOptions} [options]
   * @returns {Promise<List>}
   */
  create: (draft, options) => send(transport, "POST", "/lists", { ...options, body: named(draft) }),

  /**
   * @param {Reference} list
   * @param {CallOptions} [options]
   * @returns {Promise<List>}
   */
  get: (list, options) => send(transport, "GET", pathOf("/lists", list), options),

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
});
