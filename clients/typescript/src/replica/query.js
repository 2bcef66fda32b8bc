// Queries of the local copy. A result is kept until one of its rows changes, and then updated instead of computed again. A
// result that has not changed is the same array, as `useSyncExternalStore` needs it.

/** @import { Changed, Row } from "./copy.js" */

/**
 * @typedef {object} TaskQuery
 * @property {string | null} [list] the uid of a list; "inbox" or null: tasks without a list. By default, tasks of all lists but
 *   the archived ones
 * @property {boolean} [archived] include the tasks of archived lists
 * @property {boolean} [completed]
 * @property {string | null} [parent] the uid of a task: its subtasks; "none" or null: top-level tasks
 * @property {string | string[]} [tag] tasks with all of these tags, in any case
 * @property {string | string[]} [priority] tasks with one of these priorities
 * @property {{before?: string, after?: string} | null} [due] tasks that are due on a day before or after these days, such as
 *   "2026-12-24", in the time zone of the device; `{}`: on any day; null: tasks that are not due
 * @property {string} [q] a part of the title or the description, in any case
 * @property {"position" | "created" | "updated" | "title" | "due_date" | "priority"} [sort] "position" by default
 * @property {"asc" | "desc"} [order] by default, the usual direction of `sort`
 */
/**
 * @typedef {object} Result
 * @property {Row[]} rows
 * @property {boolean} stale whether the rows must be selected again
 * @property {Set<string>} dirty rows that have changed since
 * @property {(row: Row) => boolean} test
 * @property {(one: Row, other: Row) => number} compare
 */

const KEPT = 100; // results
const FEW = 100; // changed rows that are put into their places one by one
const LAST = "\uffff";
const PRIORITIES = ["high", "medium", "low", "none"];
const titles = new Intl.Collator();

/** @param {string} text */
const fold = (text) => text.normalize("NFD").toUpperCase().normalize("NFD");

/** Returns the day of a time on this device; undefined if the service will refuse it. @param {string} time */
function dayOf(time) {
  const day = new Date(time);
  return new Date(day.getTime() - 60_000 * day.getTimezoneOffset()).toJSON()?.slice(0, 10);
}

/** @type {Record<string, {key: (row: Row) => any, descends?: boolean}>} */
const SORTS = {
  position: { key: (row) => row.position },
  created: { key: (row) => row.id ?? Infinity, descends: true },
  updated: { key: (row) => row.updated_at, descends: true },
  title: { key: (row) => row.title },
  due_date: { key: (row) => row.due_at ?? (row.due_date && `${row.due_date}${LAST}`) },
  priority: { key: (row) => PRIORITIES.indexOf(row.priority) },
};

/**
 * Returns the comparison of a sort. No two rows are equal.
 *
 * @param {string} sort
 * @param {string} [order]
 * @returns {(one: Row, other: Row) => number}
 */
export function comparison(sort, order) {
  const { key, descends = false } = SORTS[sort];
  const direction = (order ? order === "desc" : descends) ? -1 : 1;
  return (one, other) => {
    const [a, b] = [key(one), key(other)];
    if (a !== b) {
      if (a === null || b === null) return a === null ? 1 : -1; // in both directions
      const by = sort === "title" ? titles.compare(a, b) : a < b ? -1 : 1;
      if (by) return by * direction;
    }
    const [first, second] = one.id === other.id ? [one.uid, other.uid] : [one.id ?? Infinity, other.id ?? Infinity];
    return first < second ? -direction : first > second ? direction : 0;
  };
}

/**
 * @param {TaskQuery} query
 * @param {(uid: string) => Row | undefined} listOf
 * @returns {(task: Row) => boolean}
 */
function condition({ list, archived, completed, parent, tag, priority, due, q }, listOf) {
  const tags = [tag ?? []].flat().map(fold);
  const priorities = priority && [priority].flat();
  const text = q && fold(q);
  return (task) => {
    if (completed !== undefined && task.completed !== completed) return false;
    if (parent !== undefined && task.parent_id !== (parent === "none" ? null : parent)) return false;
    const home = task.list_id && listOf(task.list_id);
    if (list === undefined ? home?.archived && !archived : (home?.uid ?? "inbox") !== (list ?? "inbox")) return false;
    if (priorities && !priorities.includes(task.priority)) return false;
    if (tags.length) {
      const has = task.tags.map(fold);
      if (!tags.every((one) => has.includes(one))) return false;
    }
    if (due !== undefined) {
      const day = task.due_date ?? (task.due_at && dayOf(task.due_at));
      if (due === null ? day : !day || (due.before && day >= due.before) || (due.after && day <= due.after)) return false;
    }
    return !text || fold(`${task.title}\n${task.description ?? ""}`).includes(text);
  };
}

/**
 * @param {{get: (kind: "task" | "list", uid: string) => Row | undefined, rows: (kind: "task" | "list") => Row[]}} copy
 */
export function createQueries(copy) {
  /** @type {Map<string, Result>} by query, the least recently used first */
  const results = new Map();
  /** @type {Row[] | undefined} */
  let lists;

  /** @param {Result} result */
  function refresh(result) {
    const { rows, dirty, test, compare } = result;
    if (result.stale) {
      const next = copy.rows("task").filter(test).sort(compare);
      result.stale = false;
      if (next.length !== rows.length || next.some((row, at) => row !== rows[at])) result.rows = next;
    } else if (dirty.size) {
      const next = rows.filter((row) => !dirty.has(row.uid));
      const added = [...dirty].map((uid) => copy.get("task", uid)).filter((row) => row && test(row));
      if (next.length === rows.length && !added.length) return; // the change concerns other results
      for (const row of /** @type {Row[]} */ (added)) next.splice(place(next, row, compare), 0, row);
      result.rows = next;
    }
  }

  return {
    /** @param {TaskQuery} query @returns {readonly Row[]} */
    tasks(query) {
      const name = JSON.stringify(query);
      let result = results.get(name);
      if (result) results.delete(name);
      else {
        const compare = comparison(query.sort ?? "position", query.order);
        result = { rows: [], stale: true, dirty: new Set(), test: condition(query, (uid) => copy.get("list", uid)), compare };
      }
      results.set(name, result);
      if (results.size > KEPT) results.delete(/** @type {string} */ (results.keys().next().value));
      refresh(result);
      result.dirty.clear();
      return result.rows;
    },

    /** @returns {readonly Row[]} */
    lists: () => lists ??= copy.rows("list").sort(comparison("position")),

    /** @param {Changed} changed */
    forget({ task, list }) {
      if (list.size) lists = undefined;
      for (const result of results.values()) {
        if (list.size || task.size > FEW) result.stale = true;
        else for (const uid of task.keys()) result.dirty.add(uid);
      }
    },
  };
}

/**
 * Returns the index of a new row in sorted rows.
 *
 * @param {Row[]} rows
 * @param {Row} row
 * @param {Result["compare"]} compare
 */
function place(rows, row, compare) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(rows[middle], row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
