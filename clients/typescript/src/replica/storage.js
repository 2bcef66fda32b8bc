// Where a copy lives: IndexedDB, or memory. A storage of your own needs the same methods.

import { KINDS } from "./copy.js";

/** @import { Op, Row, Step } from "./copy.js" */

/** @typedef {"task" | "list" | "outbox" | "state"} Store */
/** @typedef {[Store, string, unknown?]} Edit a store, a key, and the new value; without a value, the key is deleted */
/**
 * @typedef {object} Storage
 * @property {boolean} [shared] whether other tabs use the same copies
 * @property {boolean} [volatile] whether the copies are lost when the page closes anyway
 * @property {() => Promise<string[]>} names returns the names of all copies, and possibly other names
 * @property {(name: string) => Promise<Opened>} open opens or creates a copy
 * @property {(name: string) => Promise<unknown>} erase deletes a copy
 */
/**
 * @typedef {object} Opened
 * @property {(store: Store) => Promise<any[]>} read returns all values in the order of their keys
 * @property {(edits: Edit[], options: {clear?: boolean, leader?: string}) => Promise<unknown>} write makes all edits, or none.
 *   `clear` first deletes all tasks and lists. If `leader` is given and is not the value of "leader" in "state" then, rejects
 *   with StaleError
 * @property {() => void} close
 */

/** Another tab leads now. */
export class StaleError extends Error {}

/** @type {Store[]} */
const STORES = ["state", ...KINDS, "outbox"]; // in the order in which they are read: no row may be older than the position

/**
 * Returns what is stored, as one step.
 *
 * @param {Opened} opened
 * @returns {Promise<Step>}
 */
export async function load(opened) {
  const [states, tasks, lists, ops] = await Promise.all(STORES.map(opened.read));
  const put = [...lists.map((row) => ["list", row]), ...tasks.map((row) => ["task", row])];
  return { all: true, ...states.find((state) => state.since), put: /** @type {any} */ (put), ops };
}

/**
 * Returns the edits that store a step.
 *
 * @param {Step} step
 * @returns {Edit[]}
 */
export const editsOf = ({ put = [], drop = [], ops = [], done = [], failed = [], since, seen, leader }) => /** @type {Edit[]} */ ([
  ...put.map(([kind, row]) => [kind, row.uid, row]),
  ...drop.map(([kind, uid]) => [kind, uid]),
  ...ops.map((op) => ["outbox", op.key, op]),
  ...[...done.map(([key]) => key), ...failed].map((key) => ["outbox", key]),
  ...(since ? [["state", "position", { since, seen }]] : []),
  ...(leader ? [["state", "leader", leader]] : []),
]);

/**
 * Keeps copies in memory, as long as the storage object lives. For tests, servers and React Native.
 *
 * @returns {Storage}
 */
export function memoryStorage() {
  /** @type {Map<string, Record<Store, Map<string, any>>>} */
  const copies = new Map();
  return {
    volatile: true,
    names: async () => [...copies.keys()],
    erase: async (name) => copies.delete(name),
    async open(name) {
      const stores = copies.get(name) ?? /** @type {any} */ (Object.fromEntries(STORES.map((store) => [store, new Map()])));
      copies.set(name, stores);
      return {
        read: async (store) => [...stores[store]].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => ({ ...value })),
        async write(edits, { clear }) {
          if (clear) for (const store of KINDS) stores[store].clear();
          for (const [store, key, value] of edits) value ? stores[store].set(key, value) : stores[store].delete(key);
        },
        close() {},
      };
    },
  };
}

/**
 * Keeps copies in IndexedDB. All tabs of a browser share them.
 *
 * @returns {Storage}
 */
export const indexedDBStorage = () => ({
  shared: true,
  names: async () => (await indexedDB.databases()).map(({ name = "" }) => name),
  async erase(name) {
    const database = await openDatabase(name); // a tab that is suspended may keep the database, so empty it first
    await transact(database, (stores) => { for (const store of STORES) stores[store].clear(); });
    database.close();
    const deletion = indexedDB.deleteDatabase(name);
    await new Promise((resolve) => { deletion.onsuccess = deletion.onerror = deletion.onblocked = resolve; });
  },
  async open(name) {
    /** @type {IDBDatabase | undefined} */
    let database;
    const connect = async () => database ??= await openDatabase(name, () => { database = undefined; });
    await connect();
    return {
      read: async (store) => answer((await connect()).transaction(store).objectStore(store).getAll()),
      write: async (edits, { clear, leader }) => transact(await connect(), (stores, transaction) => {
        if (clear) for (const store of KINDS) stores[store].clear();
        for (const [store, key, value] of edits) value ? stores[store].put(value, key) : stores[store].delete(key);
        if (!leader) return;
        const request = stores.state.get("leader");
        request.onsuccess = () => { if (request.result !== leader) transaction.abort(); };
      }),
      close: () => database?.close(),
    };
  },
});

/**
 * @param {string} name
 * @param {(() => void) | null} [onclose] is called if the browser closes the database, for example in the background
 */
async function openDatabase(name, onclose = null) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => { for (const store of STORES) opening.result.createObjectStore(store); };
  const database = await answer(opening);
  database.onversionchange = () => database.close(); // another tab erases it
  database.onclose = onclose;
  return database;
}

/**
 * Runs a transaction, all of it or nothing.
 *
 * @param {IDBDatabase} database
 * @param {(stores: Record<Store, IDBObjectStore>, transaction: IDBTransaction) => void} work
 */
async function transact(database, work) {
  const transaction = database.transaction(STORES, "readwrite");
  const over = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error ?? new StaleError());
    transaction.onerror = (event) => reject(/** @type {IDBRequest} */ (event.target).error); // without an abort if the database closes
  });
  try {
    work(/** @type {any} */ (Object.fromEntries(STORES.map((store) => [store, transaction.objectStore(store)]))), transaction);
  } catch (error) {
    over.catch(() => {});
    transaction.abort();
    throw error;
  }
  await over;
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const answer = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
