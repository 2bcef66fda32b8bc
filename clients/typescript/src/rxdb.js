import { replicateRxCollection } from "rxdb/plugins/replication";
import { Observable } from "rxjs";

import { BLANK } from "./blank.js";
import { DoableError, GoneError, NotFoundError, SignedOutError, errorOf } from "./errors.js";
import { merge, same } from "./replica/merge.js";

/** @import { ReplicationOptions, RxCollection, RxJsonSchema } from "rxdb" */
/** @import { RxReplicationState } from "rxdb/plugins/replication" */
/** @import { Doable } from "./client.js" */
/** @import { Kind } from "./replica/copy.js" */
/** @import { LocalList, LocalTask } from "./replica/replica.js" */

/** @typedef {{since: string, user: string}} Checkpoint a position in the change feed, and whose it is */
/** @typedef {Record<string, any> & {uid: string, _deleted: boolean}} Document */
/** @typedef {{newDocumentState: any, assumedMasterState?: any}} Row */
/** @typedef {{mine: Document, base: Document | undefined, operations: Record<string, any>[]}} Push */
/** @typedef {{error: DoableError, document: Document}} RefusedDocument */
/**
 * @typedef {object} DoableReplication
 * @property {RxCollection<any, any, any, any>} collection with `taskSchema`, `listSchema`, or a schema with some of their
 *   fields, at least `uid` and `version`
 * @property {Doable} doable
 * @property {Kind} [kind] "task" by default
 * @property {string} [replicationIdentifier] by default, "doable-task" or "doable-list"
 * @property {(refused: RefusedDocument) => void} [onRejected] is called with each write that the service refuses; the
 *   collection then shows the service's state again
 */

const FIELDS = {
  task: ["title", "description", "completed", "priority", "tags", "due_date", "due_at", "repeat", "list_id", "parent_id", "position"],
  list: ["name", "color", "archived", "position"],
};
const AGAIN = [401, 403, 408, 425, 429];

/** @type {RxJsonSchema<LocalTask>} The RxDB schema of tasks. `list_id` and `parent_id` are uids. */
export const taskSchema = schemaOf("task", {
  title: "string", description: "string?", completed: "boolean", completed_at: "string?", priority: "string", tags: "array",
  due_date: "string?", due_at: "string?", repeat: "object?", series: "string?", occurrence: "string?", next_due: "string?",
  list_id: "string?", parent_id: "string?",
});

/** @type {RxJsonSchema<LocalList>} The RxDB schema of lists. */
export const listSchema = schemaOf("list", { name: "string", color: "string?", archived: "boolean" });

/**
 * @param {Kind} kind
 * @param {Record<string, string>} types the type of each field; with "?", it may be null
 * @returns {any}
 */
function schemaOf(kind, types) {
  const all = { ...types, id: "integer?", position: "string", created_at: "string", updated_at: "string", version: "integer" };
  /** @type {Record<string, any>} */
  const defaults = { ...BLANK[kind](), created_at: "", updated_at: "" };
  const properties = Object.entries(all).map(([name, type]) => [name, {
    type: type.endsWith("?") ? [type.slice(0, -1), "null"] : type,
    ...(type === "array" && { items: { type: "string" } }),
    ...(name in defaults && { default: defaults[name] }),
  }]);
  return {
    version: 0,
    primaryKey: "uid",
    type: "object",
    properties: { uid: { type: "string", maxLength: 36 }, ...Object.fromEntries(properties) },
    required: ["uid", kind === "list" ? "name" : "title"],
  };
}

/**
 * Replicates an RxDB collection with the user's tasks or lists, in both directions and live:
 *
 *     const { tasks } = await database.addCollections({ tasks: { schema: taskSchema } });
 *     const replication = replicateDoable({ collection: tasks, doable });
 *     await tasks.insert({ uid: newUid(), title: "Water the plants" });
 *
 * Fields that only one side has changed merge by themselves. If both sides have changed a field, the collection's conflict
 * handler decides; by default, the service's document stays. A database belongs to one user: if another user has signed
 * in, nothing is read or written. A sign-out cancels the replication.
 *
 * @param {DoableReplication & Omit<Partial<ReplicationOptions<any, Checkpoint>>, "collection" | "pull" | "push" | "deletedField">} options
 *   also takes the usual options of a replication, such as `retryTime` and `waitForLeadership`
 * @returns {RxReplicationState<any, Checkpoint>}
 */
export function replicateDoable({ collection, doable, kind = "task", onRejected, ...options }) {
  const suffix = kind === "list" ? "_list" : "";
  /** @type {Record<string, any>} */
  const blank = { title: "", name: "", ...BLANK[kind]() };
  const names = Object.keys(collection.schema.jsonSchema.properties).filter((name) => !name.startsWith("_"));
  if (!names.includes("uid") || !names.includes("version")) throw new TypeError("The schema needs the fields uid and version.");
  const writable = FIELDS[kind].filter((name) => names.includes(name));
  /** @type {Map<number, string | null>} the uid of each id; tasks and lists share the numbers */
  const uids = new Map();
  /** @type {Map<string, number>} the versions that this replication has written; they may not have been pulled yet */
  const versions = new Map();
  /** @type {(user: string) => void} */
  let recognise;
  /** @type {Promise<string>} the user whose collection this is; a pull finds out */
  const owner = new Promise((resolve) => { recognise = resolve; });

  /** @param {string} method @param {string} path @param {object} [request] */
  const send = async (method, path, request) => (await doable.request(method, path, { ...request, user: await owner })).body;

  /** @param {string} path @returns {Promise<any>} undefined if there is no such task or list */
  const find = (path) => send("GET", path).catch((error) => {
    if (!(error instanceof NotFoundError)) throw error;
  });

  /** @param {"tasks" | "lists"} where @param {number | null} id */
  async function uidOf(where, id) {
    if (id === null) return null;
    if (!uids.has(id)) uids.set(id, (await find(`/${where}/${id}`))?.uid ?? null);
    return uids.get(id);
  }

  /** Returns the document of a task, a list or a tombstone. @param {any} row @returns {Promise<Document>} */
  async function documentOf({ deleted = false, ...row }) {
    if (kind === "task" && !deleted) {
      row.list_id = await uidOf("lists", row.list_id);
      row.parent_id = await uidOf("tasks", row.parent_id);
    }
    const entries = names.map((name) => [name, row[name] ?? blank[name]]).filter(([, value]) => value !== undefined);
    return { ...Object.fromEntries(entries), _deleted: deleted };
  }

  /** @param {any[]} changes */
  async function documentsOf(changes) {
    for (const { id, uid } of changes) uids.set(id, uid);
    const documents = [];
    for (const change of changes) if (change.type === kind) documents.push(await documentOf(change));
    return documents;
  }

  /**
   * Reads changes after a position until there are at least `size` documents, or no more changes.
   *
   * @param {string} since
   * @param {number} size
   */
  async function read(since, size) {
    const documents = [];
    for (;;) {
      const { changes, next, has_more } = await send("GET", "/changes", { query: { since, limit: Math.min(size, 1000) } });
      documents.push(...await documentsOf(changes));
      since = next;
      if (!has_more || documents.length >= size) return { documents, checkpoint: { since, user: await owner } };
    }
  }

  /** Reads everything, because the position is no longer known. Deletes what the service does not have. */
  async function readAll() {
    const { documents, checkpoint } = await read("0", Infinity);
    const present = new Set(documents.map(({ uid }) => uid));
    /** @type {Document[]} */
    const local = (await collection.find().exec()).map((/** @type {{toJSON: () => any}} */ document) => document.toJSON());
    const gone = local.filter(({ uid, version }) => version && !present.has(uid)).map((one) => ({ ...one, _deleted: true }));
    return { documents: [...documents, ...gone], checkpoint };
  }

  /** @param {Checkpoint | undefined} checkpoint @param {number} size */
  async function pull(checkpoint, size) {
    recognise(checkpoint?.user ?? await doable.user());
    return read(checkpoint?.since ?? "0", size).catch((error) => {
      if (!(error instanceof GoneError)) throw error;
      return readAll();
    });
  }

  /** @param {Row} row @returns {Push} */
  function prepare({ newDocumentState: mine, assumedMasterState: base }) {
    const { uid } = mine;
    const version = Math.max(base?.version ?? 0, versions.get(uid) ?? 0);
    const target = { id: uid, ...(version && { if_version: version }) };
    if (mine._deleted) {
      return { mine, base, operations: [{ op: `delete${suffix}`, ...target, ...(kind === "list" && { tasks: "inbox" }) }] };
    }
    const changes = Object.fromEntries(writable.map((name) => [name, mine[name] ?? blank[name]])
      .filter(([name, value]) => !same(value, base?.[name] ?? blank[name])));
    if (changes.parent_id) delete changes.list_id; // it is that of the parent
    if (!base) return { mine, base, operations: [{ op: `create${suffix}`, [kind]: { ...changes, uid } }] };
    const restore = base._deleted ? [{ op: `restore${suffix}`, id: uid }] : [];
    const update = { op: `update${suffix}`, ...(base._deleted ? { id: uid } : target), changes };
    return { mine, base, operations: [...restore, ...(Object.keys(changes).length ? [update] : [])] };
  }

  /**
   * Records the result of a write. Returns the service's document if it is in conflict, and a write if it must be sent again.
   *
   * @param {Push} push
   * @param {{status: number, task?: any, list?: any, error?: any}} result
   * @returns {Promise<{conflict?: Document, again?: Push}>}
   */
  async function settle({ mine, base, operations }, { status, error, ...result }) {
    const { op, changes, ...rest } = operations[operations.length - 1];
    const row = result[kind] ?? (status === 412 ? error.current : undefined);
    if (status < 300 || (status === 404 && mine._deleted)) {
      if (row) versions.set(mine.uid, row.version);
      if (base || status !== 200 || mine._deleted) return {};
      const theirs = await documentOf(row); // it was created earlier, and may have changed since
      return Object.keys(rest[kind]).every((name) => same(mine[name], theirs[name])) ? {} : { conflict: theirs };
    }
    if (row) {
      const theirs = await documentOf(row);
      if (mine._deleted) return { conflict: theirs };
      const { changes: left, conflicts } = merge({ changes, base: base ?? {} }, theirs);
      if (conflicts.length) return { conflict: theirs };
      if (!Object.keys(left).length) return {};
      return { again: { mine, base, operations: [{ op, id: mine.uid, if_version: row.version, changes: left }] } };
    }
    const problem = errorOf(status, error);
    if (AGAIN.includes(status) || status >= 500) throw problem; // RxDB sends everything again
    onRejected?.({ error: problem, document: mine });
    const current = await find(`/${kind}s/${mine.uid}`);
    return { conflict: current ? await documentOf(current) : { ...mine, _deleted: true } };
  }

  /** Sends writes, and returns the service's documents where these are in conflict. @param {Row[]} rows */
  async function push(rows) {
    const conflicts = [];
    let waiting = rows.map(prepare).filter(({ operations }) => operations.length);
    while (waiting.length) {
      const operations = waiting.flatMap((one) => one.operations);
      const { results } = await send("POST", "/batch", { body: { atomic: false, operations }, key: null });
      /** @type {Push[]} */
      const next = [];
      for (const one of waiting) {
        const { conflict, again } = await settle(one, results.splice(0, one.operations.length).pop());
        if (conflict) conflicts.push(conflict);
        if (again) next.push(again);
      }
      waiting = next;
    }
    return conflicts;
  }

  /** @type {Observable<{documents: Document[], checkpoint: Checkpoint} | "RESYNC">} */
  const stream$ = new Observable((subscriber) => {
    const stop = new AbortController();
    /** @param {string} state */
    const onState = (state) => { if (state === "open") subscriber.next("RESYNC"); }; // it may have missed changes
    const run = async () => {
      const user = await owner;
      for await (const { type, id, data } of doable.live({ user, signal: stop.signal, onState })) {
        if (type === "reset") subscriber.next("RESYNC");
        if (type !== "task" && type !== "list") continue;
        const documents = await documentsOf([{ ...data, type }]).catch(() => undefined);
        if (!documents) subscriber.next("RESYNC"); // a pull tries again
        else if (documents.length) subscriber.next({ documents, checkpoint: { since: id, user } });
      }
    };
    run().catch((error) => {
      subscriber.error(error);
      if (error instanceof SignedOutError) void replication.cancel();
    });
    return () => stop.abort();
  });

  const replication = replicateRxCollection({
    replicationIdentifier: `doable-${kind}`,
    ...options,
    collection,
    pull: { handler: pull, batchSize: 500, stream$ },
    push: { handler: push, batchSize: 50 },
  });
  return replication;
}
