// The local copy. `base` has the rows as the service has told them. `overlay` has the rows that the user's writes change:
// the writes that wait in the outbox, applied to `base` in their order. The view is `overlay` over `base`. When `base`
// changes, the overlay is computed again, so nothing is ever rolled back.

import { EMPTY } from "../blank.js";
import { same } from "./merge.js";

/** @typedef {"task" | "list"} Kind */
/** @typedef {Record<string, any> & {uid: string, version: number}} Row */
/**
 * A write of the user.
 *
 * @typedef {object} Op
 * @property {string} key its place in the outbox
 * @property {"create" | "update" | "remove" | "restore"} op
 * @property {Kind} kind
 * @property {string} uid
 * @property {string} at when the user wrote it
 * @property {Record<string, any>} [changes] the fields that it sets
 * @property {Record<string, any>} [base] what the user saw in these fields before
 * @property {[Kind, Row][]} [rows] what it restores, as far as the copy knows it
 * @property {"inbox" | "trash"} [tasks] where the tasks of a removed list go
 */
/**
 * A step of the copy. All tabs apply the same steps, possibly twice or late.
 *
 * @typedef {object} Step
 * @property {boolean} [all] replace all rows
 * @property {[Kind, Row][]} [put] rows as the service sends them, with ids of lists and parents
 * @property {[Kind, string, number][]} [drop] kind, uid and version of deleted rows
 * @property {Op[]} [ops] writes that are new, or that replace older ones with the same key
 * @property {[string, number][]} [done] keys of writes that took effect, and the versions that they led to, or 0
 * @property {string[]} [failed] keys of writes that ended without effect
 * @property {string} [since] the position after these changes of the feed
 * @property {number} [seen] the highest version in these changes of the feed
 * @property {string} [leader] the tab that leads from now on, for the storage alone
 */
/** @typedef {Record<Kind, Map<string, Row | undefined>>} Changed the rows before the step, by uid */

export const KINDS = /** @type {Kind[]} */ (["task", "list"]);
const REFERENCES = ["list_id", "parent_id"];

/** @returns {Record<Kind, Map<string, any>>} */
const maps = () => ({ task: new Map(), list: new Map() });

export function createCopy() {
  /** @type {Record<Kind, Map<string, Row>>} */
  let base = maps();
  /** @type {Changed} */
  let overlay = maps();
  /** @type {Op[]} */
  let ops = [];
  /** @type {{op: Op, version: number}[]} writes with an effect on other rows that the feed has not told yet */
  let effective = [];
  /** @type {Set<string>} keys of writes that have ended: another tab may tell of them late */
  const ended = new Set();
  /** @type {Map<number, string>} the uid of each id; tasks and lists share the numbers */
  let uids = new Map();
  /** @type {Map<string, [Kind, Row]>} rows that name a list or a parent that has not arrived */
  let lost = new Map();
  /** @type {Map<string, number>} the versions of removed rows: older changes of them may still arrive */
  let buried = new Map();
  /** @type {Map<string, Set<string>>} tasks that are or were subtasks of a task */
  const families = new Map();
  let since = "0";
  let seen = 0;
  /** @type {Changed} */
  let changed = maps();

  /** @param {Kind} kind @param {string} uid @returns {Row | undefined} */
  const get = (kind, uid) => (overlay[kind].has(uid) ? overlay : base)[kind].get(uid);

  /** Remembers the row as it was before the step. @param {Kind} kind @param {string} uid */
  const note = (kind, uid) => { if (!changed[kind].has(uid)) changed[kind].set(uid, get(kind, uid)); };

  /** @param {Row | undefined} row */
  function adopt(row) {
    if (row?.parent_id) families.set(row.parent_id, (families.get(row.parent_id) ?? new Set()).add(row.uid));
  }

  /** @param {Kind} kind @param {string} uid @param {Row | undefined} row */
  function set(kind, uid, row) {
    note(kind, uid);
    overlay[kind].set(uid, row);
    adopt(row);
  }

  /** @param {string} uid */
  const children = (uid) => /** @type {Row[]} */ ([...families.get(uid) ?? []].map((child) => get("task", child))
    .filter((child) => child?.parent_id === uid));

  /** @param {Kind} kind @returns {Row[]} */
  const rows = (kind) => {
    const found = [];
    for (const [uid, row] of base[kind]) if (!overlay[kind].has(uid)) found.push(row);
    for (const row of overlay[kind].values()) if (row) found.push(row);
    return found;
  };

  /**
   * Replaces the ids of a row by uids. An unknown one becomes null until it arrives.
   *
   * @param {Kind} kind
   * @param {Row} raw
   * @param {Row} row is changed
   */
  function resolve(kind, raw, row) {
    for (const field of REFERENCES) {
      if (typeof raw[field] !== "number") continue;
      row[field] = uids.get(raw[field]) ?? null;
      if (!row[field]) lost.set(row.uid, [kind, raw]);
    }
    adopt(row);
    base[kind].set(row.uid, row);
  }

  /** Takes a row away. @param {Kind} kind @param {string} uid */
  function drop(kind, uid) {
    note(kind, uid);
    lost.delete(uid);
    return base[kind].delete(uid);
  }

  /** Puts a row in the place of an older one. @param {Kind} kind @param {Row} raw */
  function put(kind, raw) {
    note(kind, raw.uid);
    lost.delete(raw.uid);
    resolve(kind, raw, { ...raw });
  }

  /**
   * Applies a write to the view, with its effects on other rows as the service has them.
   *
   * @param {Op} op
   * @param {boolean} [isDone] whether `base` has its effect on its own row already
   */
  function apply({ op, kind, uid, changes = {}, base: saw = {}, rows: back = [], tasks, at }, isDone) {
    const row = get(kind, uid);
    const { after: _after, before: _before, ...fields } = changes;
    if (op === "restore") {
      for (const [each, saved] of back) if (!get(each, saved.uid)) set(each, saved.uid, saved);
    } else if (op === "remove") {
      set(kind, uid, undefined);
      if (kind === "task") for (const child of children(uid)) set("task", child.uid, undefined);
      else for (const task of rows("task")) {
        if (task.list_id === uid) set("task", task.uid, tasks === "trash" ? undefined : { ...task, list_id: null });
      }
    } else if (op === "create" ? !row || isDone : row) { // otherwise it took effect already, or there is nothing to change
      const next = /** @type {Row} */ ({ ...(row ?? { created_at: at, version: 0 }), ...fields, uid, updated_at: at });
      for (const [field, value] of Object.entries(EMPTY[kind])) next[field] ??= value; // null clears a field
      if (kind === "list") return set(kind, uid, next);
      const parent = next.parent_id && get("task", next.parent_id);
      if (parent) next.list_id = parent.list_id;
      if (next.completed !== (row?.completed ?? false)) next.completed_at = next.completed ? at : null;
      set(kind, uid, next);
      const { list_id, completed, completed_at } = next;
      if (parent?.completed && !completed) set("task", parent.uid, { ...parent, completed, completed_at });
      if (!row) return;
      for (const child of children(uid)) {
        const follows = completed ? !child.completed
          : fields.completed === false && child.completed_at === (row.completed_at ?? saw.completed_at); // completed with it
        const moved = { ...child, list_id, ...(follows && { completed, completed_at }) };
        if (!same(child, moved)) set("task", child.uid, moved);
      }
    }
  }

  /** Computes the overlay again. */
  function replay() {
    for (const kind of KINDS) for (const uid of overlay[kind].keys()) note(kind, uid);
    const before = overlay;
    overlay = maps();
    for (const { op } of effective) {
      apply(op, true);
      // `base` has the row with the values that the service has normalised. Only a next write may need what this one changed.
      if (effective.findLast((one) => one.op.uid === op.uid)?.op === op) overlay[op.kind].delete(op.uid);
    }
    for (const op of ops) apply(op);
    for (const kind of KINDS) {
      for (const [uid, row] of overlay[kind]) {
        const old = before[kind].get(uid);
        if (old && same(old, row)) overlay[kind].set(uid, old);
      }
    }
  }

  /** @returns {Changed} */
  function flush() {
    const result = changed;
    changed = maps();
    for (const kind of KINDS) for (const [uid, row] of result[kind]) if (row === get(kind, uid)) result[kind].delete(uid);
    return result;
  }

  /**
   * Ends a write that took effect. Returns the row that it has deleted.
   *
   * @param {[string, number]} done
   * @returns {[Kind, string, number][]}
   */
  function end([key, version]) {
    ended.add(key);
    const op = ops.find((one) => one.key === key);
    if (!op) return [];
    const { kind, uid } = op;
    const current = base[kind].get(uid)?.version ?? Infinity;
    if (op.op !== "remove") {
      if (version > seen) effective.push({ op, version });
    } else if (current <= version) {
      drop(kind, uid);
      buried.set(uid, version);
      effective.push({ op, version: 0 });
      return [[kind, uid, version]];
    }
    return [];
  }

  return {
    get,
    rows,
    children,
    get ops() { return ops; },
    get since() { return since; },
    /** @param {Kind} kind @param {string} uid */
    base: (kind, uid) => base[kind].get(uid),

    /** Returns the whole copy as a step. @returns {Step} */
    snapshot() {
      const put = KINDS.flatMap((kind) => [...base[kind].values()].map((row) => lost.get(row.uid) ?? /** @type {[Kind, Row]} */ ([kind, row])));
      return { all: true, put, ops, since, seen };
    },

    /** Adds a write and applies it. @param {Op} op */
    write(op) {
      ops.push(op);
      apply(op);
      return flush();
    },

    /**
     * Applies a step. It may be old: only newer rows replace others.
     *
     * @param {Step} step `put` and `drop` lose what the copy has ignored
     * @returns {Changed}
     */
    step(step) {
      const { all, put: arrived = [], drop: gone = [], ops: queued = [], done = [], failed = [] } = step;
      if (all) {
        for (const kind of KINDS) for (const uid of base[kind].keys()) note(kind, uid);
        base = maps();
        uids = new Map();
        lost = new Map();
        buried = new Map();
        effective = [];
        seen = 0;
      }
      const removed = done.flatMap(end);
      step.put = arrived.filter(([kind, { uid, id, version }]) => {
        const current = base[kind].get(uid)?.version ?? 0;
        if (version <= Math.max(current, buried.get(uid) ?? 0) || (!current && version <= seen)) return false;
        uids.set(id, uid);
        return true;
      });
      for (const [kind, row] of step.put) {
        effective = effective.filter(({ op, version }) => version || op.uid !== row.uid); // restored since
        put(kind, row);
      }
      step.drop = gone.filter(([kind, uid, version]) => version >= (base[kind].get(uid)?.version ?? 0) && drop(kind, uid))
        .concat(removed);
      for (const [kind, raw] of [...lost.values()]) { // some may be lost again
        if (REFERENCES.some((field) => uids.has(raw[field]))) put(kind, raw);
      }
      if (step.seen !== undefined) {
        step.seen = seen = Math.max(seen, step.seen);
        const heard = [...arrived.map(([, row]) => row.uid), ...gone.map(([, uid]) => uid)];
        effective = effective.filter(({ op, version }) => (version ? version > seen : !heard.includes(op.uid)));
      }
      since = step.since ?? since;
      for (const key of failed) ended.add(key);
      ops = [...new Map([...ops, ...queued].map((op) => [op.key, op])).values()].filter(({ key }) => !ended.has(key))
        .sort((one, other) => (one.key < other.key ? -1 : 1));
      replay();
      return flush();
    },
  };
}
