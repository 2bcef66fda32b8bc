import { BLANK } from "./blank.js";
import { DoableError, errorOf } from "./errors.js";
import { memoryStorage } from "./replica/storage.js";
import { newUid } from "./uid.js";

/** @import { BaseCollectionConfig, CollectionConfig } from "@tanstack/db" */
/** @import { Doable } from "./client.js" */
/** @import { Kind } from "./replica/copy.js" */
/** @import { LocalList, LocalTask, Replica } from "./replica/replica.js" */
/** @import { TaskBatch } from "./types/types.gen.js" */

/** @template {Kind} K @typedef {K extends "list" ? LocalList : LocalTask} Item */
/**
 * What `insert` takes: the title or name, and any other fields.
 *
 * @template {Kind} K
 * @typedef {K extends "list" ? Partial<LocalList> & {name: string} : Partial<LocalTask> & {title: string}} Draft
 */
/**
 * A Standard Schema, which completes drafts. The service validates.
 *
 * @template {Kind} K
 * @typedef {{readonly "~standard": {
 *   readonly version: 1, readonly vendor: string, readonly validate: (value: unknown) => {value: Item<K>},
 *   readonly types?: {readonly input: Draft<K>, readonly output: Item<K>},
 * }}} Schema
 */
/** @typedef {{doable: Doable, replica?: undefined} | {replica: Replica, doable?: undefined}} Source */
/**
 * @template {Kind} K
 * @typedef {Source & {kind?: K} & Omit<BaseCollectionConfig<Item<K>, string, Schema<K>>,
 *   "getKey" | "schema" | "syncMode" | "onInsert" | "onUpdate" | "onDelete">} DoableCollectionConfig
 */
/** @typedef {{type: string, key: string, changes: Record<string, any>, original: {version?: number}, metadata: any}} Mutation */
/** @typedef {{transaction: {mutations: Mutation[]}}} Write */

const MOST = 100; // operations in a batch

/**
 * Returns the options of a TanStack DB collection of all tasks, or with `kind: "list"` of all lists of the user:
 *
 *     const tasks = createCollection(doableCollectionOptions({ doable }));
 *     tasks.insert({ title: "Water the plants" });
 *
 * The key of a task or list is its `uid`; `list_id` and `parent_id` are uids.
 *
 * - With `doable`, a write is sent at once. Its transaction is persisted when the service has acknowledged it and the
 *   collection has its effects. If the service refuses it, or cannot be reached, TanStack DB rolls it back, and
 *   `isPersisted` rejects with the error: a ConflictError if there is a newer version than the collection had.
 * - With `replica`, a write goes into the replica's outbox, which also works offline. Its transaction is persisted when
 *   the device has stored it. If the service refuses it later, the collection shows the service's state again, and the
 *   replica calls `onRejected`.
 *
 * @template {Kind} [K="task"]
 * @param {DoableCollectionConfig<K>} config also takes the usual options of a collection, such as `id` and `gcTime`
 * @returns {CollectionConfig<Item<K>, string, Schema<K>> & {schema: Schema<K>}}
 */
export function doableCollectionOptions({ doable, replica: given, kind: name, ...config }) {
  const kind = /** @type {Kind} */ (name ?? "task");
  const source = () => (doable ? share(doable) : { opening: Promise.resolve(given), release() {} });
  const persist = doable ? sender(doable, kind) : writer(given, kind);

  /** @type {any} */
  const options = {
    ...config,
    getKey: (/** @type {Item<K>} */ item) => item.uid,
    schema: {
      "~standard": {
        version: 1,
        vendor: "doable",
        validate: (/** @type {object} */ value) => ({ value: { ...BLANK[kind](), uid: newUid(), ...value } }),
      },
    },
    sync: {
      rowUpdateMode: "full",
      sync: (/** @type {Channel} */ channel) => follow(source(), kind, channel, Boolean(doable)),
    },
    onInsert: persist,
    onUpdate: persist,
    onDelete: persist,
  };
  return options;
}

/**
 * @typedef {object} Channel what TanStack DB gives to `sync`
 * @property {() => void} begin
 * @property {(message: any) => void} write
 * @property {() => void} commit
 * @property {() => void} markReady
 * @property {(error: unknown) => void} markError
 */

/**
 * Writes the rows of a replica, and its changes, to a collection. Returns a function that ends this.
 *
 * @param {{opening: Promise<Replica>, release: () => void}} source
 * @param {Kind} kind
 * @param {Channel} channel
 * @param {boolean} isRemote whether the rows must be read before the collection is ready
 */
function follow({ opening, release }, kind, { begin, write, commit, markReady, markError }, isRemote) {
  const known = new Set();
  const stop = new AbortController();
  const { signal } = stop;

  /** @param {Replica} replica */
  async function run(replica) {
    if (signal.aborted) return;
    /** @param {readonly string[]} uids */
    const show = (uids) => {
      if (!uids.length) return;
      begin();
      for (const uid of uids) {
        const value = kind === "list" ? replica.list(uid) : replica.task(uid);
        if (value) write({ type: known.has(uid) ? "update" : "insert", value });
        else if (known.has(uid)) write({ type: "delete", key: uid });
        if (value) known.add(uid);
        else known.delete(uid);
      }
      commit();
    };
    signal.addEventListener("abort", replica.subscribe((changes) => show(changes[kind])));
    show((kind === "list" ? replica.lists() : replica.tasks({ archived: true })).map(({ uid }) => uid));
    if (isRemote) await replica.sync({ signal });
    markReady();
  }

  opening.then(run).catch((error) => signal.aborted || markError(error));
  return () => {
    stop.abort();
    release();
  };
}

/**
 * Returns the handler that writes to a replica.
 *
 * @param {Replica} replica
 * @param {Kind} kind
 */
function writer(replica, kind) {
  const { create, update, remove } = /** @type {Record<string, (...values: any[]) => unknown>} */ (
    kind === "list" ? { create: replica.createList, update: replica.updateList, remove: replica.removeList } : replica);
  return async (/** @type {Write} */ { transaction }) => {
    for (const { type, key, changes, metadata } of transaction.mutations) {
      if (type === "insert") create({ ...changes, uid: key });
      else if (type === "update") update(key, changes);
      else remove(key, metadata ?? {});
    }
    await replica.stored();
  };
}

/**
 * Returns the handler that sends a transaction as one batch, and waits until the copy in memory has its effects.
 *
 * @param {Doable} doable
 * @param {Kind} kind
 */
function sender(doable, kind) {
  const suffix = kind === "list" ? "_list" : "";

  /** @param {Mutation} mutation @param {Map<string, number>} versions */
  function operation({ type, key, changes, original, metadata }, versions) {
    if (type === "insert") return { op: `create${suffix}`, [kind]: { ...changes, uid: key } };
    // The row that the user has changed, or what an earlier write of this collection has made of it.
    const version = Math.max(original.version ?? 0, versions.get(key) ?? 0);
    const target = { id: key, ...(version && { if_version: version }) };
    if (type === "update") return { op: `update${suffix}`, ...target, changes };
    return { op: `delete${suffix}`, ...target, ...(kind === "list" && { tasks: metadata?.tasks ?? "inbox" }) };
  }

  return async (/** @type {Write} */ { transaction }) => {
    const { entry, opening, release } = share(doable);
    /** Sends the transaction after all earlier ones, which it may depend on. */
    const send = async () => {
      const replica = await opening;
      for (let at = 0; at < transaction.mutations.length; at += MOST) {
        const part = transaction.mutations.slice(at, at + MOST);
        const operations = /** @type {TaskBatch["operations"]} */ (part.map((one) => operation(one, entry.versions)));
        const results = await doable.batch(operations, { atomic: part.length > 1 }).catch((error) => { throw causeOf(error); });
        for (const { task, list, error } of results) {
          if (error) throw error;
          const row = task ?? list;
          if (row) entry.versions.set(row.uid, row.version);
        }
      }
      await replica.sync();
    };
    const sent = entry.last.then(send);
    entry.last = sent.catch(() => {});
    await sent.finally(release);
  };
}

/** Returns the error of the operation that failed, for that of its batch. @param {unknown} error */
function causeOf(error) {
  const cause = error instanceof DoableError && error.code === "batch_failed" ? error.problem.error : undefined;
  return cause ? errorOf(cause.status, cause) : error;
}

/**
 * A copy in memory for all collections of one client.
 *
 * @typedef {object} Shared
 * @property {Promise<Replica>} opening
 * @property {number} users
 * @property {Promise<unknown>} last the end of the last write
 * @property {Map<string, number>} versions of the tasks and lists that these collections have written, by uid
 */
/** @type {WeakMap<Doable, Shared>} */
const copies = new WeakMap();

/** @param {Doable} doable */
function share(doable) {
  const entry = copies.get(doable)
    ?? { opening: doable.replica({ storage: memoryStorage() }), users: 0, last: Promise.resolve(), versions: new Map() };
  const forget = () => { if (copies.get(doable) === entry) copies.delete(doable); };
  if (!copies.has(doable)) {
    copies.set(doable, entry);
    // New collections need another copy after a sign-out, and after one that could not be opened.
    entry.opening.then((replica) => replica.subscribe(() => {
      if (replica.status.problem?.name === "SignedOutError") forget();
    }), forget);
  }
  entry.users += 1;
  return {
    entry,
    opening: entry.opening,
    release() {
      entry.users -= 1;
      if (entry.users) return;
      forget();
      entry.opening.then((replica) => replica.close(), () => {});
    },
  };
}
