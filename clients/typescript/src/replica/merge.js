/** @import { Op } from "./copy.js" */

/**
 * A field that the user and another client have changed to different values since `base`.
 *
 * @typedef {object} Conflict
 * @property {"task" | "list"} kind
 * @property {string} uid
 * @property {string} field
 * @property {unknown} mine what the user of this copy has written
 * @property {unknown} theirs what the service has now
 * @property {unknown} base what the user saw before the change
 */

/** A day and a time exclude each other, so a change of one is a change of both. @type {Record<string, string>} */
export const PARTNER = { due_date: "due_at", due_at: "due_date" };
const SETTLED = ["position", "after", "before"]; // the last move wins: nobody wants to be asked about it
const MOST_TAGS = 20;

/**
 * Returns whether two values of a field are the same.
 *
 * @param {any} one
 * @param {any} other
 */
export const same = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);

/**
 * Joins successive changes of one item to a single one. A later place replaces an earlier one, and a parent its list.
 *
 * @param {Op[]} ops in the order of the queue
 * @returns {{changes: Record<string, any>, base: Record<string, any>}}
 */
export const join = (ops) => ({
  changes: ops.reduce((all, { changes = {} }) => {
    if (SETTLED.some((field) => field in changes)) for (const field of SETTLED) delete all[field];
    if (changes.parent_id) delete all.list_id;
    return Object.assign(all, changes);
  }, /** @type {Record<string, any>} */ ({})),
  base: Object.assign({}, ...ops.map((op) => op.base).reverse()), // the oldest value counts
});

/**
 * Compares changes with the current state of the item. Fields that only one side has changed merge by themselves, and so
 * do tags that the two sides have added or removed.
 *
 * @param {{changes: Record<string, any>, base: Record<string, any>}} mine
 * @param {Record<string, any>} theirs
 * @returns {{changes: Record<string, any>, conflicts: string[]}} the changes that are still to be sent
 */
export function merge({ changes, base }, theirs) {
  /** @type {Record<string, any>} */
  const left = {};
  const conflicts = [];
  for (const [field, value] of Object.entries(changes)) {
    const partner = PARTNER[field];
    if (same(value, theirs[field])) continue;
    const moved = !same(theirs[field], base[field]) || (partner && !same(theirs[partner], base[partner]));
    left[field] = value;
    if (!moved || SETTLED.includes(field) || (partner && !value && changes[partner])) continue;
    const tags = field === "tags" && mergeTags(base.tags ?? [], value ?? [], theirs.tags);
    if (tags) left.tags = tags;
    else conflicts.push(field);
  }
  return { changes: left, conflicts };
}

/**
 * @param {string[]} base
 * @param {string[]} mine
 * @param {string[]} theirs
 * @returns {string[] | undefined} undefined if there are too many
 */
function mergeTags(base, mine, theirs) {
  const merged = [...new Set([...theirs.filter((tag) => mine.includes(tag) || !base.includes(tag)),
    ...mine.filter((tag) => !base.includes(tag))])];
  return merged.length > MOST_TAGS ? undefined : merged;
}
