import { errorOf } from "../errors.js";
import { newUid } from "../uid.js";
import { PARTNER, same } from "./merge.js";
import { keyBetween } from "./order.js";

/** @import { Kind, Op, Row } from "./copy.js" */

/**
 * Where to put a task or list. `after` and `before` name a sibling by its uid; `after: null` is the end, and `before: null`
 * the start. The siblings are the tasks of the same list and parent.
 *
 * @typedef {object} Place
 * @property {string | null} [after]
 * @property {string | null} [before]
 * @property {string | null} [list_id] the uid of a list; null is the inbox
 * @property {string | null} [parent_id] the uid of a task; null is the top level
 */

/**
 * Turns the calls of the user into writes of the outbox.
 *
 * @param {ReturnType<import("./copy.js").createCopy>} copy
 * @param {ReturnType<import("./query.js").createQueries>} queries
 * @param {(write: Omit<Op, "key" | "at">) => void} write
 */
export function createWrites(copy, queries, write) {
  /** @type {Map<string, [Kind, Row][]>} what this instance removed, to show it at once if it is restored */
  const removed = new Map();

  /** @param {Kind} kind @param {string} uid @returns {Row} */
  function existing(kind, uid) {
    const row = copy.get(kind, uid);
    if (!row) throw errorOf(404, { code: `${kind}_not_found`, detail: `The copy has no ${kind} ${uid}.` });
    return row;
  }

  /**
   * Returns the fields that put an item next to a sibling. A new item without a place comes first.
   *
   * @param {Kind} kind
   * @param {Place} place
   * @param {string} [uid] the item, unless it is new
   */
  function placed(kind, { after, before, list_id = null, parent_id = null }, uid) {
    const home = parent_id ? { parent: parent_id } : { list: list_id, parent: null };
    const siblings = (kind === "list" ? queries.lists() : queries.tasks(home)).filter((one) => one.uid !== uid);
    const index = (/** @type {string} */ sibling) => Math.max(0, siblings.findIndex((one) => one.uid === sibling));
    const at = after ? index(after) + 1 : before ? index(before) : after === null ? siblings.length : 0;
    const position = keyBetween(siblings[at - 1]?.position, siblings[at]?.position);
    if (position !== undefined) return { position };
    return at ? { after: siblings[at - 1].uid } : { before: siblings[0].uid }; // the service makes room
  }

  return {
    /** @param {Kind} kind @param {Record<string, any>} draft @returns {any} */
    create(kind, { uid = newUid(), after, before, ...draft }) {
      const fields = cleaned(draft);
      /** @type {Record<string, any>} */
      const changes = { ...(fields.position === undefined && placed(kind, { ...fields, after, before })), ...fields };
      if (changes.parent_id) delete changes.list_id; // it is that of the parent
      write({ op: "create", kind, uid, changes });
      return existing(kind, uid);
    },

    /** @param {Kind} kind @param {string} uid @param {Record<string, any>} changes @returns {any} */
    update(kind, uid, changes) {
      const row = existing(kind, uid);
      const entries = Object.entries(cleaned(changes)).filter(([field, value]) => !same(value, row[field]));
      if (entries.length) {
        // With the time of the completion, the subtasks that were completed with their task are found.
        const seen = ["completed_at", ...entries.flatMap(([field]) => [field, PARTNER[field] ?? field])];
        const base = Object.fromEntries(seen.map((field) => [field, row[field]]));
        write({ op: "update", kind, uid, changes: Object.fromEntries(entries), base });
      }
      return existing(kind, uid);
    },

    /** @param {Kind} kind @param {string} uid @param {Place} place @returns {any} */
    move(kind, uid, { after, before, ...home }) {
      const { list_id, parent_id } = { ...existing(kind, uid), ...home };
      /** @type {Record<string, any>} */
      const changes = { ...placed(kind, { after, before, list_id, parent_id }, uid), ...home };
      if (parent_id) delete changes.list_id;
      return this.update(kind, uid, changes);
    },

    /** @param {Kind} kind @param {string} uid @param {"inbox" | "trash"} [tasks] */
    remove(kind, uid, tasks) {
      const row = existing(kind, uid);
      const family = kind === "task" ? copy.children(uid)
        : copy.rows("task").filter((task) => tasks === "trash" && task.list_id === uid);
      removed.set(uid, [[kind, row], ...family.map((task) => /** @type {[Kind, Row]} */ (["task", task]))]);
      write({ op: "remove", kind, uid, tasks });
    },

    /** @param {Kind} kind @param {string} uid */
    restore(kind, uid) {
      if (!copy.get(kind, uid)) write({ op: "restore", kind, uid, rows: removed.get(uid) ?? [] });
    },
  };
}

/**
 * Returns a copy of the fields that are given, which other code cannot change: frameworks pass proxies. A day clears a
 * time, and a time clears a day. Throws a TypeError if a value is no JSON.
 *
 * @param {Record<string, any>} fields
 * @returns {Record<string, any>}
 */
function cleaned(fields) {
  const clean = JSON.parse(JSON.stringify(fields));
  for (const [field, partner] of Object.entries(PARTNER)) if (clean[field]) clean[partner] = null;
  return clean;
}
