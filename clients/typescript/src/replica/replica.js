import { NetworkError, SignedOutError, errorOf } from "../errors.js";
import { add, pause, rethrow, unlessAborted } from "../pause.js";
import { newUid } from "../uid.js";
import { createCopy } from "./copy.js";
import { createLeader } from "./leader.js";
import { same } from "./merge.js";
import { createQueries } from "./query.js";
import { StaleError, editsOf, indexedDBStorage, load, memoryStorage } from "./storage.js";
import { joinTabs } from "./tabs.js";
import { createWrites } from "./writes.js";

/** @import { DoableError } from "../errors.js" */
/** @import { Transport } from "../transport.js" */
/** @import { List, ListDraft, ListPatch, Task, TaskDraft, TaskPatch } from "../types/types.gen.js" */
/** @import { Changed, Kind, Op, Step } from "./copy.js" */
/** @import { Rejection } from "./outbox.js" */

/**
 * A task of the copy: `list_id` and `parent_id` are uids, and `id` is null until the service has the task.
 *
 * @typedef {Omit<Task, "id" | "list_id" | "parent_id" | "user_id"> & {
 *   id: number | null, list_id: string | null, parent_id: string | null,
 * }} LocalTask
 */
/** @typedef {Omit<List, "id"> & {id: number | null}} LocalList */
/** @typedef {Omit<TaskDraft, "list_id" | "parent_id" | "after" | "before"> & Place} LocalTaskDraft */
/** @typedef {Omit<TaskPatch, "list_id" | "parent_id" | "after" | "before" | "if_version"> & Pick<Place, "list_id" | "parent_id">} LocalTaskPatch */
/** @typedef {{name: string, message: string, code?: string}} Problem */
/**
 * @typedef {object} Status
 * @property {boolean} online whether the service is connected
 * @property {boolean} synced whether the copy has been complete since it was opened
 * @property {number} pending how many writes wait for the service
 * @property {boolean} syncing whether changes are being read or sent
 * @property {Problem | null} problem why changes cannot be read, sent or stored
 */
/**
 * A write that the service has refused. The copy shows the service's state again.
 *
 * @typedef {object} Refused
 * @property {DoableError} error
 * @property {Op["op"]} op
 * @property {Kind} kind
 * @property {string} uid
 * @property {Record<string, any>} changes what the user wrote
 */
/**
 * @typedef {object} ReplicaOptions
 * @property {Storage} [storage] by default IndexedDB, or memory where there is none
 * @property {(conflict: Conflict) => unknown} [onConflict] returns the value to keep, or a promise of it; by default and after
 *   an error, `mine`. It is called in the tab that sends
 * @property {(refused: Refused) => void} [onRejected] is called in every tab
 */
/** @typedef {{task: readonly string[], list: readonly string[]}} Changes the uids of the changed tasks and lists */
/** @typedef {Awaited<ReturnType<typeof openReplica>>} Replica */
/** @typedef {import("./merge.js").Conflict} Conflict */
/** @typedef {import("./query.js").TaskQuery} TaskQuery */
/** @typedef {import("./storage.js").Storage} Storage */
/** @typedef {import("./writes.js").Place} Place */

const ENDS = ["SignedOutError", "UnauthorizedError"]; // only the user can end these problems
const PATIENCE = 5000; // milliseconds, within which the tab that leads answers

export { indexedDBStorage, memoryStorage };

/** @param {any} error @returns {Problem | null} */
const problemOf = (error) => error && { name: error.name, message: error.message, code: error.code };

/** Calls a function of the application. What it throws is reported, but does not interrupt the copy. @param {() => void} call */
function attempt(call) {
  try {
    call();
  } catch (error) {
    rethrow(error);
  }
}

/**
 * Opens the local copy of the signed-in user's tasks and lists. If no token can be had, because the device is offline, it
 * opens the only copy on this device.
 *
 * @param {Transport} transport
 * @param {ReplicaOptions} [options]
 * @throws {SignedOutError} no user is signed in
 * @throws {NetworkError} no token can be had, and there is no copy, or there are several
 */
export async function openReplica(transport, options = {}) {
  const storage = options.storage ?? (globalThis.indexedDB ? indexedDBStorage() : memoryStorage());
  const prefix = `doable:${transport.url || globalThis.location?.origin || ""}:`;
  const slot = options.storage ?? prefix;
  const { onConflict = ({ mine }) => mine } = options;
  const { closed: before } = transport;
  const user = await transport.user().catch(async (error) => {
    const names = (await storage.names()).filter((name) => name.startsWith(prefix));
    if (!(error instanceof NetworkError) || names.length !== 1) throw error;
    return names[0].slice(prefix.length);
  });
  const name = prefix + user;
  const tab = newUid();
  const copy = createCopy();
  const queries = createQueries(copy);
  const opened = await storage.open(name);

  /** @type {Set<(changes: Changes) => void>} */
  const listeners = new Set();
  /** @type {Status} */
  let status = { online: false, synced: false, pending: 0, syncing: false, problem: null };
  /** @type {ReturnType<typeof createLeader> | undefined} */
  let leader;
  let closed = false;
  let lastKey = 0;
  /** @type {Problem | null} why the service cannot be reached */
  let problem = null;
  /** @type {Problem | null} why the storage cannot be written */
  let full = null;
  let isBehind = false; // the storage has refused changes of the service, or the claim of the tab that leads
  /** @type {Set<string>} keys of writes that the storage does not have */
  const unstored = new Set();
  /** @type {Map<string, (isRead: boolean) => void>} to the tab that leads */
  const questions = new Map();
  /** @type {Promise<void>} */
  let storing = Promise.resolve();

  /** Calls the listeners. @param {Changes} changes */
  function announce(changes) {
    for (const listener of [...listeners]) attempt(() => listener(changes));
  }

  /** Shows changed rows. @param {Changed} changed */
  function show(changed) {
    const pending = copy.ops.length;
    if (pending !== status.pending) status = { ...status, pending };
    else if (!changed.task.size && !changed.list.size) return;
    queries.forget(changed);
    announce({ task: [...changed.task.keys()], list: [...changed.list.keys()] });
  }

  /** @param {Omit<Partial<Status>, "problem"> & {problem?: unknown}} fields */
  function report(fields) {
    if ("problem" in fields) problem = problemOf(fields.problem);
    const next = { ...status, ...fields, pending: status.pending, problem: full ?? problem };
    if (same(next, status)) return;
    status = next;
    tellStatus();
    announce({ task: [], list: [] });
  }

  const tellStatus = () => leader && tabs.post({ status: { ...status, problem } });

  /**
   * Stores a step, and then tells the other tabs: a tab that opens meanwhile either loads the step or is told.
   *
   * @param {Step} step
   * @param {Rejection[]} [rejections] if this tab leads
   */
  async function store(step, rejections) {
    const keys = (step.ops ?? []).map(({ key }) => key);
    keys.forEach((key) => unstored.add(key));
    try {
      const whole = isBehind && rejections ? { ...step, ...copy.snapshot(), leader: tab } : step;
      // Without locks, several tabs lead.
      await opened.write(editsOf(whole), { clear: whole.all, leader: rejections && !tabs.isAlone ? tab : undefined });
      keys.forEach((key) => unstored.delete(key));
      if (whole !== step) isBehind = false;
      full = null;
    } catch (error) {
      if (closed) return;
      // After a StaleError, this tab claims the lead again. If another tab has the lock, it does so too, and is the last.
      if (!(error instanceof StaleError)) full = problemOf(error);
      if (rejections) {
        isBehind = true;
        const { done, failed } = step; // at least these must not be sent again
        await opened.write(editsOf({ done, failed, leader: tab }), {}).catch(() => {});
      }
    }
    report({});
    tabs.post({ step, rejections, isBehind, unstored });
  }

  /** @type {typeof store} */
  const keep = (step, rejections) => {
    const earlier = storing;
    return storing = store(step, rejections).then(() => earlier);
  };

  /** @param {Omit<Op, "key" | "at">} write */
  function write(write) {
    if (closed) throw new SignedOutError("The copy is closed.");
    // After all writes of this instance, and all that wait: the clock may have gone back since.
    lastKey = Math.max(lastKey + 1, 1000 * Date.now(), parseInt(copy.ops.at(-1)?.key ?? "0") + 1);
    const op = { ...write, key: `${lastKey}-${tab}`, at: new Date().toISOString().replace("Z", "000Z") };
    show(copy.write(op));
    void keep({ ops: [op] });
    leader?.send();
  }

  /** @param {Step} step @param {Rejection[]} [rejections] */
  function apply(step, rejections = []) {
    show(copy.step(step));
    for (const { status, problem, write: { op, kind, uid, changes = {} } } of rejections) {
      attempt(() => options.onRejected?.({ error: errorOf(status, problem), op, kind, uid, changes }));
    }
  }

  /** Leads the tabs until the signal aborts. @param {AbortSignal} signal */
  async function lead(signal) {
    await ready;
    try {
      await opened.write(editsOf({ leader: tab }), {});
      // A tab that was killed may have told the storage only. Writes from now on are ours to know.
      const known = copy.ops.map(({ key }) => key).filter((key) => !unstored.has(key));
      const ops = /** @type {Op[]} */ (await opened.read("outbox"));
      apply({ ops, failed: known.filter((key) => !ops.some((op) => op.key === key)) });
    } catch (error) {
      if (closed) return;
      full = problemOf(error);
      isBehind = true;
    }
    leader = createLeader({
      transport, user, signal, copy, report, check,
      resolve: onConflict,
      commit(step, rejections = []) {
        if (signal.aborted) return;
        apply(step, rejections);
        void keep(step, rejections);
      },
    });
    begun();
    await leader.run();
    leader = undefined;
  }

  /** Reads what is new, here or in the tab that leads. Returns whether that succeeded. @returns {Promise<boolean>} */
  async function refresh() {
    if (leader) return leader.refresh();
    const ask = newUid();
    tabs.post({ ask });
    return new Promise((resolve) => {
      setTimeout(resolve, PATIENCE, false);
      questions.set(ask, resolve);
    });
  }

  /** Closes the copy in all tabs. @param {null} [problem] */
  function leave(problem) {
    tabs.post({ over: true });
    end(problem);
  }

  /** Closes the copy in all tabs if another user has signed in. */
  async function check() {
    if (await transport.user().catch(() => user) !== user) leave();
  }

  /** @param {unknown} [problem] */
  function end(problem = new SignedOutError()) {
    if (closed) return;
    closed = true;
    for (const forget of forgets) forget();
    tabs.leave();
    leader = undefined;
    opened.close();
    begun();
    show(copy.step({ all: true, failed: copy.ops.map(({ key }) => key) }));
    report({ online: false, syncing: false, problem });
  }

  async function erase() {
    leave(null);
    // A page that leaves when it hears of the sign-out must not interrupt the erasure.
    await storage.erase(name);
    report({ problem: new SignedOutError() });
  }
  transport.closed.delete(slot); // it is that of another user, or opens again
  const forgets = [transport.onSignOut(erase), transport.onRenew(() => check().then(() => closed || refresh()))];
  let begun = () => {};
  const leading = /** @type {Promise<void>} */ (new Promise((resolve) => { begun = resolve; }));
  const loading = load(opened).then((step) => show(copy.step(step)));
  const ready = loading.catch(end);
  const tabs = joinTabs(name, {
    shared: storage.shared,
    lead,
    wake: () => void refresh(),
    async receive({ over, ask, answer, isRead, status: next, step, rejections, ...told }) {
      await ready;
      if (over) {
        end();
        return transport.renew(); // the next copy of this tab is that of the user who is signed in now, if any
      }
      if (next) report(next);
      if (step) {
        if (rejections) isBehind = told.isBehind; // this tab may lead next
        for (const key of told.unstored) unstored.add(key);
        apply(step, rejections);
        leader?.send();
      }
      if (ask && leader) {
        const done = await refresh();
        if (isBehind) tabs.post({ step: copy.snapshot(), rejections: [], isBehind, unstored }); // the other tab has loaded less
        tellStatus();
        tabs.post({ answer: ask, isRead: done });
      }
      questions.get(answer)?.(isRead);
      questions.delete(answer);
    },
  });
  if (transport.closed !== before) await erase(); // the user has signed out while it opened
  await loading;
  if (tabs.isAlone) await leading;
  else void refresh(); // the answer has the status
  if (closed) throw new SignedOutError();

  const writes = createWrites(copy, queries, write);
  const replica = {
    /** The id of the user whose copy this is. */
    user,

    /** The state of the synchronisation; another object after each change. */
    get status() { return status; },

    /** @param {TaskQuery} [query] @returns {readonly LocalTask[]} the same array until the result changes */
    tasks: (query = {}) => /** @type {any} */ (queries.tasks(query)),

    /** @param {string} uid @returns {LocalTask | undefined} the same object until the task changes */
    task: (uid) => /** @type {any} */ (copy.get("task", uid)),

    /** @returns {readonly LocalList[]} all lists in their manual order */
    lists: () => /** @type {any} */ (queries.lists()),

    /** @param {string} uid @returns {LocalList | undefined} */
    list: (uid) => /** @type {any} */ (copy.get("list", uid)),

    /** Returns whether a task or list has changes that the service does not have yet. @param {string} uid */
    isPending: (uid) => copy.ops.some((op) => op.uid === uid),

    /**
     * Calls a function after each change of a task, a list or the status. Returns a function that removes it.
     *
     * @param {(changes: Changes) => void} listener
     */
    subscribe: (listener) => add(listeners, listener),

    /** Creates a task, first in its list unless a place is given. @param {LocalTaskDraft} draft @returns {LocalTask} */
    create: (draft) => writes.create("task", draft),
    /** @param {string} uid @param {LocalTaskPatch} changes @returns {LocalTask} */
    update: (uid, changes) => writes.update("task", uid, changes),
    /** @param {string} uid @returns {LocalTask} */
    complete: (uid) => writes.update("task", uid, { completed: true }),
    /** @param {string} uid @returns {LocalTask} */
    reopen: (uid) => writes.update("task", uid, { completed: false }),
    /** Moves a task to another place, list or parent. @param {string} uid @param {Place} place @returns {LocalTask} */
    move: (uid, place) => writes.move("task", uid, place),
    /** Moves a task and its subtasks to the trash. @param {string} uid */
    remove: (uid) => writes.remove("task", uid),
    /** Takes a task out of the trash. @param {string} uid */
    restore: (uid) => writes.restore("task", uid),

    /** @param {ListDraft & Pick<Place, "after" | "before">} draft @returns {LocalList} */
    createList: (draft) => writes.create("list", draft),
    /** @param {string} uid @param {ListPatch} changes @returns {LocalList} */
    updateList: (uid, changes) => writes.update("list", uid, changes),
    /** @param {string} uid @param {Pick<Place, "after" | "before">} place @returns {LocalList} */
    moveList: (uid, place) => writes.move("list", uid, place),
    /** Moves a list to the trash; its tasks go to the inbox, or to the trash too. @param {string} uid @param {{tasks?: "inbox" | "trash"}} [options] */
    removeList: (uid, { tasks = "inbox" } = {}) => writes.remove("list", uid, tasks),
    /** Takes a list out of the trash. @param {string} uid */
    restoreList: (uid) => writes.restore("list", uid),

    /** Waits until the storage has all changes so far, or has refused them. */
    async stored() { await storing; },

    /**
     * Tries at once, and waits until the service has all writes and the copy all changes.
     *
     * @param {{signal?: AbortSignal}} [options]
     */
    async sync({ signal } = {}) {
      for (;;) {
        const isRead = await unlessAborted(refresh(), signal);
        if (closed) throw new SignedOutError();
        if (!isRead && ENDS.includes(problem?.name ?? "")) throw Object.assign(new Error(), problem);
        if (isRead && !status.pending && !status.syncing) return;
        await pause(1000, signal, replica.subscribe);
      }
    },

    /** Closes the copy and keeps it on the device. */
    async close() {
      await storing;
      if (!closed && !storage.volatile) transport.closed.set(slot, [storage, name]);
      end(null);
    },
  };
  return replica;
}
