import { conditional, items, named, pages, pathOf, remove, send, write } from "./calls.js";
import { follow } from "./stream.js";

/** @import { CallOptions, Id, Items, PostOptions, Reference, TaskFilters, WriteOptions } from "./calls.js" */
/** @import { FollowOptions, Live, TaskEvent } from "./stream.js" */
/** @import { Transport } from "./transport.js" */
/** @import { Task, TaskChangePage, TaskDraft, TaskPatch, TaskSummary } from "./types/types.gen.js" */

/**
 * Creates the methods for tasks.
 *
 * @param {Transport} transport
 */
export const createTasks = (transport) => ({
  /**
   * Returns all tasks that match, or with `limit` the first page.
   *
   * @param {TaskFilters} [filters]
   * @param {CallOptions} [options]
   * @returns {Promise<Items<Task>>}
   */
  list: async (filters, options) => items(await transport.request("GET", "/tasks", { ...options, query: filters })),

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
  create: (draft, options) => send(transport, "POST", "/tasks", { ...options, body: named(draft) }),

  /**
   * @param {Reference} task
   * @param {CallOptions} [options]
   * @returns {Promise<Task>}
   */
  get: (task, options) => send(transport, "GET", pathOf("/tasks", task), options),

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
   * Completes a task. If it is completed already, nothing changes. If it repeats, the service creates the next one.
   *
   * @param {Reference} task
   * @param {WriteOptions} [options]
   * @returns {Promise<Task>}
   */
  complete: (task, options) => write(transport, "/tasks", task, { completed: true }, options, "/complete"),

  /**
   * Reopens a task. If it is open, nothing changes. The next task of its series goes to the trash; if it has changed, the
   * call fails with a ConflictError, whose `problem.successor` is that task.
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
  toggle: (task, options) => send(transport, "POST", `${pathOf("/tasks", task)}/complete`, conditional(task, options)),

  /**
   * Moves a repeating task to its next occurrence, without completing it.
   *
   * @param {Reference} task
   * @param {WriteOptions & PostOptions} [options]
   * @returns {Promise<Task>}
   */
  skip: (task, options) => send(transport, "POST", `${pathOf("/tasks", task)}/skip`, conditional(task, options)),

  /**
   * Moves a task to the trash.
   *
   * @param {Reference} task
   * @param {WriteOptions} [options]
   */
  remove: (task, options) => remove(transport, pathOf("/tasks", task), conditional(task, options)),

  /**
   * Moves all tasks in a state to the trash, and returns how many. The tasks of archived lists stay, unless `list` names
   * their list.
   *
   * @param {"completed" | "pending" | "all"} status
   * @param {CallOptions & {list?: Id | Id[]}} [options] `list` is the list or lists, and "inbox" the tasks without one
   * @returns {Promise<number>}
   */
  // An empty array becomes an empty value, which the service refuses. Left out, it would mean all lists.
  removeMany: async (status, { list, ...options } = {}) =>
    (await send(transport, "DELETE", "/tasks", { ...options, query: { status, list: `${list}` && list } })).deleted,

  /**
   * Counts the tasks by their state. `tz` is the time zone of "today", such as "Europe/Berlin".
   *
   * @param {{tz?: string}} [filters]
   * @param {CallOptions} [options]
   * @returns {Promise<TaskSummary>}
   */
  summary: (filters, options) => send(transport, "GET", "/tasks/summary", { ...options, query: filters }),

  /**
   * Returns a page of the change feed of tasks alone: see `changes`.
   *
   * @param {string} [since]
   * @param {CallOptions & {limit?: number}} [options]
   * @returns {Promise<TaskChangePage>}
   */
  changes: (since = "0", { limit, ...options } = {}) => send(transport, "GET", "/tasks/changes", { ...options, query: { since, limit } }),

  /**
   * Follows the changes of tasks alone: see `live`. Their `data` has no `type`.
   *
   * @param {FollowOptions} [options]
   * @returns {Live<TaskEvent>}
   */
  live: (options) => /** @type {Live<any>} */ (follow(transport, { path: "/tasks/events", ...options })),
});
