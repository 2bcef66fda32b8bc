/** @import { LocalList, LocalTask } from "./replica/replica.js" */

/** @typedef {"uid" | "created_at" | "updated_at" | "version"} Own the fields that are different in each task or list */

/**
 * The values of fields that are not set. A new field of tasks or lists needs a line here, and one in `rxdb.js`.
 *
 * @type {{task: Omit<LocalTask, Own | "title">, list: Omit<LocalList, Own | "name">}}
 */
export const EMPTY = {
  task: {
    id: null, description: null, completed: false, completed_at: null, due_date: null, due_at: null, list_id: null,
    parent_id: null, repeat: null, series: null, occurrence: null, next_due: null, priority: "none", position: "", tags: [],
  },
  list: { id: null, color: null, archived: false, position: "" },
};

const fresh = () => ({ created_at: new Date().toISOString(), updated_at: new Date().toISOString(), version: 0 });

/**
 * Returns the fields of a new task or list which has a `uid` and that the service does not know yet, but for its title or
 * name.
 */
export const BLANK = {
  /** @returns {Omit<LocalTask, "title" | "uid">} */
  task: () => ({ ...EMPTY.task, tags: [], ...fresh() }),
  /** @returns {Omit<LocalList, "name" | "uid">} */
  list: () => ({ ...EMPTY.list, ...fresh() }),
};
