// The local copy. `base` has the rows as the service has told them. `overlay` has the rows that the user's writes change:
// the writes that wait in the outbox, applied to `base` in their order. The view is `overlay` over `base`. When `base`
// changes, the overlay is computed again, so nothing is ever rolled back.

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
 */
/** @typedef {Record<Kind, Map<string, Row | undefined>>} Changed the rows before the step, by uid */

export const KINDS = /** @type {Kind[]} */ (["task", "list"]);
const EMPTY = {
  task: {
    id: null, description: null, completed: false, completed_at: null, priority: "none", tags: [], due_date: null,
    due_at: null, list_id: null, parent_id: null, position: "", repeat: null, series: null, occurrence: null, next_due: null,
  },
  list: { id: null, color: null, archived: false, position: "" },
};
const REFERENCES = ["list_id", "parent_id"];

export function createCopy() {
  /** @type {Record<Kind, Map<string, Row>>} */
  let base = { task: new Map(), list: new Map() };
  /** @type {Changed} */
  let overlay = { task: new Map(), list: new Map() };
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
  let changed = { task: new Map(), list: new Map() };

  /** @param {Kind} kind @param {string} uid @returns {Row | undefined} */
  const get = (kind, uid) => (overlay[kind].has(uid) ? overlay[kind].get(uid) : base[kind].get(uid));

  /** Remembers the row as it was before the step. @param {Kind} kind @param {string} uid */
  const note = (kind, uid) => { if (!changed[kind].has(uid)) changed[kind].set(uid, get(kind, uid)); };

  /** @param {Row} row */
  function adopt(row) {
    if (!row.parent_id) return;
    const family = families.get(row.parent_id);
    if (family) family.add(row.uid);
    else families.set(row.parent_id, new Set([row.uid]));
  }

  /** @param {Kind} kind @param {string} uid @param {Row | undefined} row */
  function set(kind, uid, row) {
    note(kind, uid);
    overlay[kind].set(uid, row);
    if (row) adopt(row);
  }

  /** @param {string} uid */
  const children = (uid) => [...families.get(uid) ?? []].map((child) => get("task", child))
    .filter((child) => child?.parent_id === uid).map((child) => /** @type {Row} */ (child));

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

  /** Applies a write to the view, with its effects on other rows as the service has them. @param {Op} op */
  function apply({ op, kind, uid, changes = {}, rows: back = [], tasks, at }) {
    const row = get(kind, uid);
    /** @param {Row | undefined} task @param {object} fields */
    const patch = (task, fields) => { if (task) set("task", task.uid, { ...task, ...fields }); };
    const { after: _after, before: _before, ...fields } = changes;
    if (op === "restore") {
      for (const [each, saved] of back) if (!get(each, saved.uid)) set(each, saved.uid, saved);
    } else if (op === "create" ? row : !row) {
      return; // it took effect already, or there is nothing to change
    } else if (op === "remove") {
      set(kind, uid, undefined);
      if (kind === "task") for (const child of children(uid)) set("task", child.uid, undefined);
      else for (const task of rows("task")) {
        if (task.list_id === uid) set("task", task.uid, tasks === "trash" ? undefined : { ...task, list_id: null });
      }
    } else {
      const next = /** @type {Row} */ ({
        ...(row ?? { ...EMPTY[kind], created_at: at, version: 0 }), ...fields, uid, updated_at: at,
      });
      if (kind === "list") return set(kind, uid, next);
      const parent = next.parent_id && get("task", next.parent_id);
      if (parent) next.list_id = parent.list_id;
      if (next.completed !== (row?.completed ?? false)) next.completed_at = next.completed ? at : null;
      set(kind, uid, next);
      if (parent?.completed && !next.completed) patch(parent, { completed: false, completed_at: null });
      if (!row) return;
      for (const child of children(uid)) {
        const moved = { ...child, list_id: next.list_id };
        if (next.completed && !child.completed) Object.assign(moved, { completed: true, completed_at: at });
        else if (!next.completed && row.completed && child.completed_at === row.completed_at) {
          Object.assign(moved, { completed: false, completed_at: null });
        }
        if (!same(child, moved)) set("task", child.uid, moved);
      }
    }
  }

  /** Computes the overlay again. */
  function replay() {
    for (const kind of KINDS) for (const uid of overlay[kind].keys()) note(kind, uid);
    const before = overlay;
    overlay = { task: new Map(), list: new Map() };
    for (const { op } of effective) apply(op);
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
    changed = { task: new Map(), list: new Map() };
    for (const kind of KINDS) for (const [uid, row] of result[kind]) if (row === get(kind, uid)) result[kind].delete(uid);
    return result;
  }

  /** @param {Op} op */
  function queue(op) {
    const at = ops.findIndex(({ key }) => key >= op.key);
    if (ended.has(op.key)) return;
    if (at < 0) ops.push(op);
    else ops.splice(at, ops[at].key === op.key ? 1 : 0, op);
  }

  /**
   * Ends a write. Returns the row that it has deleted.
   *
   * @param {string} key
   * @param {number} [version]
   * @returns {[Kind, string, number][]}
   */
  function end(key, version) {
    ended.add(key);
    const op = ops.find((one) => one.key === key);
    ops = ops.filter((one) => one !== op);
    if (!op || version === undefined) return [];
    const { kind, uid } = op;
    const row = base[kind].get(uid);
    if (op.op !== "remove") {
      if (version > seen) effective.push({ op, version });
    } else if (row && row.version <= version) {
      note(kind, uid);
      buried.set(uid, version);
      lost.delete(uid);
      base[kind].delete(uid);
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

    /** Fills an empty copy. The rows become the copy's own. @param {Step} stored */
    load({ put = [], ops: saved = [], since: position = "0", seen: highest = 0 } = {}) {
      for (const [, row] of put) uids.set(row.id, row.uid);
      for (const [kind, row] of put) resolve(kind, { ...row }, row);
      ops = saved;
      since = position;
      seen = highest;
      replay();
      return flush();
    },

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
      const { all, put = [], drop = [], ops: queued = [], done = [], failed = [] } = step;
      if (all) {
        for (const kind of KINDS) for (const uid of base[kind].keys()) note(kind, uid);
        base = { task: new Map(), list: new Map() };
        [uids, lost, buried, effective, seen] = [new Map(), new Map(), new Map(), [], 0];
      }
      const removed = done.flatMap(([key, version]) => end(key, version));
      step.put = put.filter(([kind, { uid, id, version }]) => {
        const current = base[kind].get(uid)?.version ?? 0;
        if (version <= Math.max(current, buried.get(uid) ?? 0) || (!current && version <= seen)) return false;
        uids.set(id, uid);
        return true;
      });
      for (const [kind, row] of step.put) {
        effective = effective.filter(({ op, version }) => version || op.uid !== row.uid); // restored since
        note(kind, row.uid);
        lost.delete(row.uid);
        resolve(kind, row, { ...row });
      }
      step.drop = drop.filter(([kind, uid, version]) => {
        if (version < (base[kind].get(uid)?.version ?? 0)) return false;
        note(kind, uid);
        lost.delete(uid);
        return base[kind].delete(uid);
      }).concat(removed);
      for (const [uid, [kind, raw]] of [...lost]) { // some may be lost again
        if (!REFERENCES.some((field) => uids.has(raw[field]))) continue;
        note(kind, uid);
        lost.delete(uid);
        resolve(kind, raw, { ...raw });
      }
      if (step.seen !== undefined) {
        step.seen = seen = Math.max(seen, step.seen);
        const heard = put.map(([, row]) => row.uid).concat(drop.map(([, uid]) => uid));
        effective = effective.filter(({ op, version }) => (version ? version > seen : !heard.includes(op.uid)));
      }
      if (step.since !== undefined) since = step.since;
      for (const op of queued) queue(op);
      for (const key of failed) end(key);
      replay();
      return flush();
    },
  };
}
