import { SignedOutError } from "./errors.js";
import { backOff, pause } from "./pause.js";
import { createCopy } from "./replica/copy.js";
import { createQueries } from "./replica/query.js";

/** @import { Doable } from "./client.js" */
/** @import { Conflict } from "./replica/merge.js" */
/** @import { TaskQuery } from "./replica/query.js" */
/** @import { Changes, LocalList, LocalTask, LocalTaskDraft, LocalTaskPatch, Refused, Replica, Status } from "./replica/replica.js" */
/** @import { Storage } from "./replica/storage.js" */
/** @import { Place } from "./replica/writes.js" */
/** @import { List, Task } from "./types/types.gen.js" */

/** @typedef {{tasks?: readonly Task[], lists?: readonly List[]}} Initial */
/** @typedef {Status & {open: boolean}} SyncStatus `open`: `useReplica` has the copy */
/** @typedef {Conflict & {keep: (value: unknown) => void}} OpenConflict `keep` ends the conflict with this value */
/** @typedef {Pick<Replica, "tasks" | "task" | "lists">} Rows */
/** @typedef {{onConflict?: "ask" | ((conflict: Conflict) => unknown), onRejected?: (refused: Refused) => void}} Handlers */
/** @typedef {ReturnType<typeof createStore>} Store */

/** @type {SyncStatus} */
const CLOSED = { open: false, online: false, synced: false, pending: 0, syncing: true, problem: null };
const FIRST_WAIT = 1000; // milliseconds
const LONGEST_WAIT = 30_000; // milliseconds

/**
 * Returns rows of the service, as a copy would show them.
 *
 * @param {Initial} initial
 * @returns {Rows}
 */
function rowsOf({ tasks = [], lists = [] }) {
  const copy = createCopy();
  const put = [...lists.map((row) => ["list", row]), ...tasks.map((row) => ["task", row])];
  copy.step({ put: /** @type {any} */ (put) });
  const queries = createQueries(copy);
  return /** @type {any} */ ({
    tasks: queries.tasks,
    task: (/** @type {string} */ uid) => copy.get("task", uid),
    lists: queries.lists,
  });
}

/** Returns the highest version of some rows. @param {(readonly {version: number}[] | undefined)[]} rows */
const newest = (...rows) => rows.flat().reduce((most, row) => Math.max(most, row?.version ?? 0), 0);

/**
 * Returns rows of the service with what waits in a copy over them.
 *
 * @param {Initial} initial
 * @param {Replica} replica
 */
function withPending({ tasks = [], lists = [] }, replica) {
  /** @param {readonly any[]} known @param {readonly any[]} local */
  const merged = (known, local) => [
    ...known.filter(({ uid }) => !replica.isPending(uid)),
    ...local.filter(({ uid }) => replica.isPending(uid)).map((row) => ({ ...row, version: row.version || 1 })), // 0 is none
  ];
  return rowsOf({ tasks: merged(tasks, replica.tasks({ archived: true })), lists: merged(lists, replica.lists()) });
}

/**
 * Creates what the hooks read: the first rows, and later the copy.
 *
 * @param {Initial} [initial]
 */
export function createStore(initial) {
  const first = rowsOf(initial ?? {});
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {Replica | undefined} */
  let replica;
  let rows = first;
  let status = CLOSED;
  /** @type {readonly OpenConflict[]} */
  let conflicts = [];

  /** Takes over the state of the copy, and calls the hooks. */
  function update() {
    if (replica) {
      const now = replica.status;
      // The copy of this device may be older than the first rows.
      const isOlder = initial && !now.synced && now.problem?.name !== "SignedOutError"
        && newest(initial.tasks, initial.lists) > newest(replica.tasks({ archived: true }), replica.lists());
      rows = !isOlder ? replica : now.pending ? withPending(initial, replica) : first;
      if (Object.entries(now).some(([name, value]) => status[/** @type {keyof Status} */ (name)] !== value) || !status.open) {
        status = { ...now, open: true };
      }
      if (!now.pending && conflicts.length) conflicts = []; // the copy has closed meanwhile
    }
    for (const listener of [...listeners]) listener();
  }

  /** @param {Conflict} conflict @returns {Promise<unknown>} */
  const ask = (conflict) => new Promise((resolve) => {
    const open = {
      ...conflict,
      keep: (/** @type {unknown} */ value) => {
        conflicts = conflicts.filter((one) => one !== open);
        update();
        resolve(value);
      },
    };
    conflicts = [...conflicts, open];
    update();
  });

  /**
   * Opens the copy. If no token can be had, and the device has no copy, tries again.
   *
   * @param {Doable} doable
   * @param {Storage | undefined} storage
   * @param {{current: Handlers}} handlers the latest ones
   * @param {AbortSignal} signal
   */
  async function run(doable, storage, handlers, signal) {
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        const opened = await doable.replica({
          storage,
          onConflict(conflict) {
            const { onConflict } = handlers.current;
            if (onConflict === "ask") return ask(conflict);
            return onConflict ? onConflict(conflict) : conflict.mine;
          },
          onRejected: (refused) => handlers.current.onRejected?.(refused),
        });
        if (signal.aborted) return void opened.close();
        replica = opened;
        const stop = opened.subscribe(update);
        signal.addEventListener("abort", () => {
          stop();
          void opened.close();
        });
        return update();
      } catch (error) {
        if (signal.aborted) return;
        const { name, message } = /** @type {Error} */ (error);
        status = { ...CLOSED, syncing: false, problem: { name, message } };
        update();
        if (error instanceof SignedOutError) return;
        await pause(backOff(FIRST_WAIT, failures, error, LONGEST_WAIT), signal, (wake) => {
          globalThis.addEventListener?.("online", wake);
          return () => globalThis.removeEventListener?.("online", wake);
        }).catch(() => {});
      }
    }
  }

  return {
    first,
    firstStatus: CLOSED,
    get rows() { return rows; },
    get status() { return status; },
    get conflicts() { return conflicts; },
    get replica() { return replica; },

    /** @param {() => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },

    /**
     * Opens the copy until the returned function is called.
     *
     * @param {Doable} doable
     * @param {Storage | undefined} storage
     * @param {{current: Handlers}} handlers
     */
    open(doable, storage, handlers) {
      const stop = new AbortController();
      void run(doable, storage, handlers, stop.signal);
      return () => {
        stop.abort();
        [replica, rows, status, conflicts] = [undefined, first, CLOSED, []];
      };
    },
  };
}
