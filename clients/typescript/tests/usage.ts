// The types as a TypeScript project sees them. tests/clients/test_typescript.py compiles this file, and never runs it.
import { createCollection } from "@tanstack/db";

import {
  ConflictError, createDoable, type Doable, type List, type Live, type LiveState, type Reference, type Task, type TokenSource,
} from "../src/index.js";
import { betterAuthToken } from "../src/better-auth.js";
import { DoableProvider, useConflicts, useReplica, useSyncStatus, useTask, useTasks, type SyncStatus } from "../src/react.js";
import { memoryStorage, type Conflict, type LocalTask, type Place, type Replica, type Storage, type TaskQuery } from "../src/replica/replica.js";
import { doableCollectionOptions } from "../src/tanstack-db.js";

const doable: Doable = createDoable({ url: "https://tasks.example.com", token: async ({ refresh }) => (refresh ? null : "token") });
const { signal } = new AbortController();

const task: Task = await doable.tasks.create({ title: "Water the plants", due_date: null }, { signal, key: "once" });
const titles: string[] = (await doable.tasks.list({ list: [7, "inbox"], priority: "high", sort: "title" })).map(({ title }) => title);
const lists: List[] = await doable.lists.list({ archived: false });
for await (const page of doable.tasks.pages({ limit: 50, count: true })) console.log(page.total, page[0].uid);

try {
  await doable.tasks.update(task, { ...task, title: "Water all plants" }, { ifVersion: null });
} catch (error) {
  if (error instanceof ConflictError && error.current && "title" in error.current) console.log(error.current.title);
}
const [{ status, error }] = await doable.batch([{ op: "complete", id: task.uid, completed: true }], { atomic: false });
const code: string | undefined = error?.code;
const state: LiveState = doable.live().state;
for await (const { type, data } of doable.live({ since: "0", onState: (now) => console.log(now) })) {
  if (type === "reset") console.log(data.next);
  if (type === "task") console.log("deleted" in data ? data.uid : data.title);
  if (type === "list" && !("deleted" in data)) console.log(data.name);
}
for await (const { type, data } of doable.tasks.live()) {
  if (type === "task" && !("deleted" in data)) console.log(data.title);
  // @ts-expect-error tasks alone need no type
  if (type === "task") console.log(data.type);
}
const owner: string = await doable.user({ signal });
const { name, stream } = await doable.export("csv", { bom: true });
const { imported }: { imported: number } = await doable.import({ tasks: [{ title: "Imported" }] }, { onConflict: "skip" });

const replica: Replica = await doable.replica({
  storage: memoryStorage(),
  onConflict: ({ field, mine, theirs }) => (field === "title" ? `${mine} / ${theirs}` : mine),
  onRejected: ({ error, uid }) => console.log(uid, error.detail),
});
const local: LocalTask = replica.create({ title: "Offline", list_id: replica.lists()[0]?.uid, after: null });
const parent: string | null = replica.move(local.uid, { before: null, parent_id: replica.tasks({ sort: "title" })[0].uid }).parent_id;
console.log(replica.status.pending, parent, local.priority === "high");
// @ts-expect-error a list is named by its uid
replica.update(local.uid, { list_id: 7 });

createDoable({ token: betterAuthToken({ token: async () => ({ data: { token: "token" }, error: null }) }) });
DoableProvider({ doable, initial: { tasks: [task], lists }, onConflict: "ask", onRejected: ({ error }) => console.log(error.detail) });
const dueSoon: readonly LocalTask[] = useTasks({ completed: false, due: { before: "2026-12-24" } });
const sync: SyncStatus = useSyncStatus();
useReplica()?.complete(dueSoon[0].uid);
for (const { field, mine, keep } of useConflicts()) if (field === "title") keep(mine);
console.log(useTask(local.uid)?.title, sync.open && sync.problem?.code);
console.log(titles, lists, status, code, state, name, stream, imported, owner);

// @ts-expect-error a title is required
void doable.tasks.create({ description: "no title" });
// @ts-expect-error there is no such field
void doable.tasks.update(task.id, { titel: "Water" });
// @ts-expect-error there is no such priority
void doable.tasks.list({ priority: "urgent" });

const ours = createCollection(doableCollectionOptions({ doable, gcTime: 60_000 }));
const theirs = createCollection(doableCollectionOptions({ replica, kind: "list", id: "lists" }));
const inserted = ours.insert({ title: "Plants", list_id: theirs.toArray[0].uid });
ours.update(inserted.mutations[0].key as string, (draft) => { draft.priority = "low"; });
const shown: LocalTask | undefined = ours.get("uid");
theirs.delete("uid", { metadata: { tasks: "trash" } });
console.log(shown?.due_date, theirs.toArray[0].name);
// @ts-expect-error a title is required
ours.insert({ description: "no title" });
// @ts-expect-error a list has no due date
console.log(theirs.toArray[0].due_date);
// @ts-expect-error there is no such sort
useTasks({ sort: "colour" });

// The types that applications name in their own functions.
export const ask = ({ mine, theirs }: Conflict): unknown => mine ?? theirs;
export const named: [Live, Place, Reference, Storage, TaskQuery, TokenSource] = [
  doable.live(), { after: null }, 1, memoryStorage(), { completed: false }, "token",
];
