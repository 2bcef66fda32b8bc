import { errorOf } from "../errors.js";
import { backOff, pause, rethrow } from "../pause.js";
import { PARTNER, join, merge, same } from "./merge.js";

/** @import { Kind, Op, Row, Step } from "./copy.js" */
/** @import { Conflict } from "./merge.js" */
/** @import { DoableError } from "../errors.js" */
/** @import { Transport } from "../transport.js" */

/** @typedef {{ops: Op[], operation: Record<string, any>, version: number}} Item successive writes of one task or list */
/** @typedef {{write: Op, status: number, problem: any}} Rejection */
/**
 * @typedef {object} SenderOptions
 * @property {Transport} transport
 * @property {string} user
 * @property {AbortSignal} signal
 * @property {{readonly ops: Op[], base: (kind: Kind, uid: string) => Row | undefined}} copy
 * @property {(step: Step, rejections?: Rejection[]) => void} commit
 * @property {() => Promise<unknown>} read reads what is new
 * @property {<T>(work: () => T | Promise<T>) => Promise<T>} inOrder runs a request or a commit after all earlier ones
 * @property {(conflict: Conflict) => unknown} resolve returns the value to keep, or a promise of it
 * @property {(sending: boolean, error?: unknown) => void} onState is called with null after a success
 */

const MOST = 50; // operations in a request, which fit into the 1 MiB of a batch
// With these, Doable refuses the contents of a request. Any other answer, and all pages of proxies, say nothing of the
// writes. A proxy may also limit the size of requests, and will not accept the same one later.
const REFUSED = [400, 415, 422];

/**
 * Sends the outbox in its order, until the signal aborts. A request takes several writes, but of each task or list only
 * successive ones, joined to one. A write that is refused ends; it never blocks others. Each write may be sent twice: a
 * task is created once by its uid, and a change names the version that it changes.
 *
 * @param {SenderOptions} options
 */
export function createSender({ transport, user, signal, copy, commit, read, inOrder, resolve, onState }) {
  let running = false;
  let single = false; // after a request was refused as a whole
  /** @type {(() => void) | undefined} */
  let awake;
  /** @type {Set<string>} tasks and lists whose conflict waits for a decision */
  const undecided = new Set();

  async function run() {
    if (running) return;
    running = true;
    for (let failures = 0; !signal.aborted;) {
      try {
        if (failures) await read(); // the last request may have taken effect
        if (!await inOrder(send)) break;
        failures = 0;
      } catch (error) {
        failures += 1;
        onState(false, error);
        await pause(backOff(2 * transport.backOff, failures, error), signal, (wake) => { awake = wake; }).catch(() => {});
      }
    }
    running = false;
    onState(false);
    if (next().length) void run(); // written meanwhile
  }

  /** Sends a request and records its results. Returns whether there was something to send. */
  async function send() {
    const items = next();
    if (!items.length) return false;
    onState(true);
    try {
      const body = { atomic: false, operations: items.map(({ operation }) => operation) };
      const answer = await transport.request("POST", "/batch", { body, user, signal, key: null, retries: 0 });
      settle(items, answer.body.results);
      single = false;
      onState(true, null);
    } catch (error) {
      const { status = 0, problem } = /** @type {Partial<DoableError>} */ (error);
      if (status !== 413 && !(problem?.code && REFUSED.includes(status))) throw error;
      if (items.length === 1) settle(items, [{ status, error: problem }]);
      single = items.length > 1;
    }
    return true;
  }

  /** Returns what the next request sends. @returns {Item[]} */
  function next() {
    /** @type {Item[]} */
    const items = [];
    const named = new Set();
    for (let at = 0; !signal.aborted && at < copy.ops.length && items.length < (single ? 1 : MOST); at += 1) {
      const first = copy.ops[at];
      if (undecided.has(first.uid)) continue;
      if (named.has(first.uid)) break; // it depends on the result of this request
      named.add(first.uid);
      const ops = [first];
      if (first.changes) {
        while (copy.ops[at + 1]?.uid === first.uid && copy.ops[at + 1].op === "update") ops.push(copy.ops[at += 1]);
      }
      const item = prepare(ops);
      if (item) items.push(item);
      else if (!undecided.has(first.uid)) at = -1, items.length = 0, named.clear(); // the outbox has changed
    }
    return items;
  }

  /**
   * Returns an operation. If a conflict has to be decided first, or if nothing is left to be sent, returns undefined.
   *
   * @param {Op[]} ops
   * @returns {Item | undefined}
   */
  function prepare(ops) {
    const [{ op, kind, uid, tasks }] = ops;
    const suffix = kind === "list" ? "_list" : "";
    const row = copy.base(kind, uid);
    const version = row?.version ?? 0;
    const mine = join(ops);
    /** @param {string} verb @param {object} members */
    const item = (verb, members) => ({ ops, version, operation: { op: verb + suffix, ...members } });
    if (op === "create") return item(op, { [kind]: { ...mine.changes, uid } });
    if (op === "restore") return item(op, { id: uid });
    const target = { id: uid, if_version: version || 1 }; // without a row, the 412 brings it
    if (op === "remove") return item("delete", { ...target, tasks });
    const theirs = row ?? /** @type {any} */ (mine.base);
    const { changes, conflicts } = merge(mine, theirs);
    if (conflicts.length) return decide(ops, { ...mine, changes: { ...mine.changes, ...changes } }, conflicts, theirs);
    if (Object.keys(changes).length) return item(op, { ...target, changes });
    commit({ done: ops.map(({ key }) => [key, 0]) });
  }

  /**
   * Asks what to keep, and replaces the writes by one that has the answers. Other tasks do not wait for this.
   *
   * @param {Op[]} ops
   * @param {{changes: Record<string, any>, base: Record<string, any>}} mine
   * @param {string[]} fields
   * @param {Row} theirs
   * @returns {undefined}
   */
  function decide(ops, { changes, base }, fields, theirs) {
    const [{ kind, uid }] = ops;
    undecided.add(uid);
    Promise.all(fields.map(async (field) =>
      resolve({ kind, uid, field, mine: changes[field], theirs: theirs[field], base: base[field] }))).catch((error) => {
      rethrow(error);
      return fields.map((field) => changes[field]);
    }).then((values) => {
      if (signal.aborted) return;
      undecided.delete(uid);
      fields.forEach((field, at) => {
        for (const one of [field, PARTNER[field] ?? field]) {
          base[one] = theirs[one];
          if (same(values[at], theirs[field])) delete changes[one];
        }
        if (field in changes) changes[field] = values[at];
      });
      commit({ ops: [{ ...ops[0], changes, base }], failed: ops.slice(1).map(({ key }) => key) });
      void run();
    });
  }

  /**
   * Records the results of a request.
   *
   * @param {Item[]} items
   * @param {{status: number, task?: Row, list?: Row, error?: any}[]} results
   */
  function settle(items, results) {
    /** @type {Required<Pick<Step, "put" | "ops" | "done" | "failed">>} */
    const step = { put: [], ops: [], done: [], failed: [] };
    /** @type {Rejection[]} */
    const rejections = [];
    items.forEach(({ ops, operation, version }, at) => {
      const [{ op, kind, uid }] = ops;
      const { status, error, ...result } = results[at];
      const row = result[kind] ?? error?.current;
      if (row) step.put.push([kind, row]);
      if (status < 300 || (status === 404 && (op === "remove" || (op === "restore" && copy.base(kind, uid))))) {
        // An earlier attempt has created it, and another client may have changed it since: the changes follow.
        const ended = op === "create" && status === 200 ? ops.slice(0, 1) : ops;
        step.done.push(...ended.map((one) => /** @type {[string, number]} */ ([one.key, row?.version ?? version])));
        if (row && ended === ops) step.ops.push(...rebased(operation.changes ?? operation[kind], row));
      } else if (status !== 412 && status < 500) {
        const lost = op === "create" ? copy.ops.filter((one) => one.uid === uid) : ops;
        for (const write of lost) {
          step.failed.push(write.key);
          rejections.push({ write, status, problem: error });
        }
      }
    });
    commit(step, rejections); // `put` loses the rows that the copy has ignored
    const [{ status, error }] = results;
    if (![...step.put, ...step.done, ...step.failed].length) throw errorOf(status, error); // the same again would loop
  }

  /**
   * Returns the writes of an item. Those that begin with what was sent now begin with what the service has made of it, such
   * as a text without white space at its ends.
   *
   * @param {Record<string, any>} sent
   * @param {Row} row
   */
  const rebased = (sent = {}, row) => copy.ops.filter((op) => op.uid === row.uid && op.base).map((op) => {
    const base = { ...op.base };
    for (const field of Object.keys(sent)) {
      if (field in base && same(base[field], sent[field]) && !field.endsWith("_id")) base[field] = row[field];
    }
    return { ...op, base };
  });

  return {
    /** Sends what waits, at once. */
    wake() {
      awake?.();
      void run();
    },
  };
}
