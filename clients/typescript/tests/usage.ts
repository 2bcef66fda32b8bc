// The types as a TypeScript project sees them. tests/clients/test_typescript.py compiles this file, and never runs it.
import { ConflictError, createDoable, type Doable, type List, type LiveState, type Task } from "../src/index.js";

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
const { name, stream } = await doable.export("csv", { bom: true });
const { imported }: { imported: number } = await doable.import({ tasks: [{ title: "Imported" }] }, { onConflict: "skip" });
console.log(titles, lists, status, code, state, name, stream, imported);

// @ts-expect-error a title is required
void doable.tasks.create({ description: "no title" });
// @ts-expect-error there is no such field
void doable.tasks.update(task.id, { titel: "Water" });
// @ts-expect-error there is no such priority
void doable.tasks.list({ priority: "urgent" });
