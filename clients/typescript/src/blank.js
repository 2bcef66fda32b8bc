/** @import { LocalList, LocalTask } from "./replica/replica.js" */

/**
 * Returns the fields of a new task or list which has a `uid` and that the service does not know yet, but for its title or
 * name.
 */
export const BLANK = {
  /** @returns {Omit<LocalTask, "title" | "uid">} */
  task: () => ({
    id: null, description: null, completed: false, completed_at: null, priority: "none", tags: [], due_date: null,
    due_at: null, repeat: null, series: null, occurrence: null, next_due: null, list_id: null, parent_id: null,
    position: "", created_at: new Date().toISOString(), updated_at: new Date().toISOString(), version: 0,
  }),
  /** @returns {Omit<LocalList, "name" | "uid">} */
  list: () => ({
    id: null, color: null, archived: false, position: "", created_at: new Date().toISOString(),
    updated_at: new Date().toISOString(), version: 0,
  }),
};
