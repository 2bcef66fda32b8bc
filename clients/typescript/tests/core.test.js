import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ConflictError, DoableError, ForbiddenError, GoneError, NotFoundError, SignedOutError, UnauthorizedError,
  ValidationError, createDoable, newUid,
} from "../src/index.js";
import { URL_OF_SERVICE, client as anyClient, newUser, recorder, sign } from "./service.js";

const all = recorder(); // the requests of all tests
const client = (options) => anyClient({ fetch: all.fetch, ...options });

const titles = (items) => items.map(({ title }) => title);

test("a task is created, read, changed, completed, reopened, toggled and removed", async () => {
  const { tasks } = client();
  const task = await tasks.create({ title: "Water the plants", tags: ["home"] });
  assert.match(task.uid, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(await tasks.get(task.id), task);
  assert.deepEqual(await tasks.get(task.uid), task);
  assert.deepEqual(await tasks.get(task), task);
  const changed = await tasks.update(task, { priority: "high", tags: null });
  assert.deepEqual([changed.priority, changed.tags, changed.title], ["high", [], "Water the plants"]);
  assert.equal((await tasks.complete(task.uid)).completed, true);
  assert.equal((await tasks.complete(task.id)).completed, true);
  assert.equal((await tasks.reopen(task.id)).completed, false);
  assert.equal((await tasks.toggle(task.id)).completed, true);
  assert.deepEqual(await tasks.summary({ tz: "Europe/Berlin" }), { total: 1, pending: 0, completed: 1, overdue: 0, due_today: 0 });
  assert.equal(await tasks.remove(task.id), undefined);
  await assert.rejects(tasks.get(task.id), NotFoundError);
});

test("a repeating task is skipped, completed and reopened, unless the next one has changed", async () => {
  const { tasks } = client();
  const repeat = { rrule: "FREQ=DAILY", from: "schedule" };
  const first = await tasks.create({ title: "Water the plants", due_date: "2040-01-01", repeat });
  const skipped = await tasks.skip(first);
  assert.equal(skipped.due_date, "2040-01-02");
  await assert.rejects(tasks.skip(first), ConflictError);
  await tasks.complete(first.id);
  const [next] = await tasks.list({ status: "pending" });
  assert.equal(next.due_date, "2040-01-03");
  await tasks.update(next, { title: "Water all plants" });
  await assert.rejects(tasks.reopen(first.id), (error) => error.code === "successor_changed" && error.problem.successor.id === next.id);
});

test("a repeated create with the same uid returns the task that is there", async () => {
  const { tasks } = client();
  const uid = newUid();
  const task = await tasks.create({ title: "Once", uid });
  assert.deepEqual(await tasks.create({ title: "Twice", uid }), task);
});

test("a list is filtered, sorted and counted", async () => {
  const { tasks, lists } = client();
  const garden = await lists.create({ name: "Garden" });
  await tasks.create({ title: "Buy seeds", list_id: garden.uid, tags: ["shop", "spring"], priority: "high" });
  await tasks.create({ title: "Mow", list_id: garden.id, priority: "low", completed: true });
  await tasks.create({ title: "Call Ada" });
  assert.deepEqual(titles(await tasks.list({ sort: "title" })), ["Buy seeds", "Call Ada", "Mow"]);
  assert.deepEqual(titles(await tasks.list({ list: "inbox" })), ["Call Ada"]);
  assert.deepEqual(titles(await tasks.list({ list: [garden.id, "inbox"], status: "pending", sort: "title" })), ["Buy seeds", "Call Ada"]);
  assert.deepEqual(titles(await tasks.list({ priority: ["high", "low"], tag: ["shop", "spring"] })), ["Buy seeds"]);
  assert.deepEqual(titles(await tasks.list({ q: "ada", status: undefined })), ["Call Ada"]);
  assert.equal((await tasks.list({ limit: 1, count: true })).total, 3);
  assert.equal((await tasks.list()).total, undefined);
  assert.equal(await tasks.removeMany("completed"), 1);
  await assert.rejects(tasks.removeMany("all", { list: [] }), { status: 422 });
  assert.equal(await tasks.removeMany("all", { list: [garden.uid, "inbox"] }), 2);
});

test("pages contain every task once, with the filters of the first page", async () => {
  const { tasks, batch } = client();
  await batch(Array.from({ length: 7 }, (_, at) => ({ op: "create", task: { title: `Task ${at}`, tags: ["a & b"] } })));
  await tasks.create({ title: "Another" });
  const pages = [];
  for await (const page of tasks.pages({ limit: 3, sort: "title", tag: "a & b", count: true })) pages.push(page);
  assert.deepEqual(pages.map((page) => [page.length, page.total]), [[3, 7], [3, 7], [1, 7]]);
  assert.deepEqual(titles(pages.flat()), [0, 1, 2, 3, 4, 5, 6].map((at) => `Task ${at}`));
});

test("lists are created, read, changed and removed with their tasks", async () => {
  const { lists, tasks, trash } = client();
  const list = await lists.create({ name: "Garden", color: "#2E7D32" });
  assert.deepEqual(await lists.get(list.uid), list);
  const changed = await lists.update(list, { name: "Balcony", archived: true });
  await assert.rejects(lists.update(list, { name: "Roof" }), (error) => error instanceof ConflictError && error.current.name === "Balcony");
  assert.deepEqual(await lists.list({ archived: false }), []);
  assert.deepEqual(await lists.list(), [changed]);
  const task = await tasks.create({ title: "Mow", list_id: list.id });
  await assert.rejects(lists.remove(list.id), ValidationError);
  await lists.remove(changed, { tasks: "trash" });
  assert.deepEqual((await trash.lists()).map(({ id }) => id), [list.id]);
  assert.equal((await trash.restoreList(list.uid)).name, "Balcony");
  assert.equal((await tasks.get(task)).list_id, list.id);
  await lists.remove(list.id, { tasks: "inbox" });
  await trash.removeList(list.id);
  assert.deepEqual(await trash.lists(), []);
});

test("the trash is listed, restored from, and emptied", async () => {
  const { tasks, trash } = client();
  const [kept, lost, rest] = await Promise.all(["kept", "lost", "rest"].map((title) => tasks.create({ title })));
  for (const task of [kept, lost, rest]) await tasks.remove(task);
  assert.equal((await trash.list({ count: true })).total, 3);
  assert.equal((await trash.restore(kept.uid)).title, "kept");
  await trash.remove(lost.id);
  const pages = [];
  for await (const page of trash.pages({ limit: 1 })) pages.push(page);
  assert.deepEqual(titles(pages.flat()), ["rest"]);
  assert.equal(await trash.empty(), 1);
  assert.deepEqual(await trash.list(), []);
});

test("a write to a task as it was read fails if there is a newer version, and says which", async () => {
  const { tasks } = client();
  const task = await tasks.create({ title: "Mine" });
  const newer = await tasks.update(task.id, { title: "Theirs" });
  for (const write of [
    () => tasks.update(task, { title: "Mine again" }),
    () => tasks.update(task.id, { title: "Mine again", if_version: task.version }),
    () => tasks.update(task, { title: "Theirs" }), // the same change: only one of two clients may have made it
    () => tasks.complete(task),
    () => tasks.toggle(task),
    () => tasks.remove(task),
    () => tasks.remove(task.uid, { ifVersion: task.version }),
  ]) {
    await assert.rejects(write(), (error) => {
      assert.ok(error instanceof ConflictError && error instanceof DoableError);
      assert.deepEqual([error.status, error.code, error.current], [412, "version_mismatch", newer]);
      return true;
    });
  }
  assert.equal((await tasks.update(task, { title: "Mine" }, { ifVersion: null })).title, "Mine");
});

test("a batch takes effect as a whole, or each operation has its own result", async () => {
  const { batch, tasks } = client();
  const task = await tasks.create({ title: "There" });
  const operations = [{ op: "complete", id: task.uid, completed: true }, { op: "delete", id: 987654321 }];
  await assert.rejects(batch(operations), (error) => error instanceof ValidationError && error.problem.index === 1);
  assert.equal((await tasks.get(task)).completed, false);
  const [first, second] = await batch(operations, { atomic: false });
  assert.equal(first.task.completed, true);
  assert.ok(second.error instanceof NotFoundError);
  assert.equal(second.error.code, "task_not_found");
});

test("an export is imported again, as JSON, as CSV, from a file, a text, bytes and a value", async () => {
  const from = client();
  await from.tasks.create({ title: "Äpfel = 1, \"2\"", tags: ["home"] });
  const file = await from.export("json");
  assert.match(file.name, /\.json$/);
  const text = await file.text();
  const csv = await (await from.export("csv", { bom: true })).blob();
  assert.deepEqual([...new Uint8Array(await csv.slice(0, 3).arrayBuffer())], [0xef, 0xbb, 0xbf]);
  let length = 0;
  for await (const part of (await from.export("ical")).stream) length += part.length;
  assert.ok(length > 100);
  for (const source of [text, JSON.parse(text), new Blob([text]), new TextEncoder().encode(text), csv, await csv.text()]) {
    const to = client();
    assert.deepEqual(await to.import(source), { imported: 1, skipped: 0 });
    assert.deepEqual(titles(await to.tasks.list()), ["Äpfel = 1, \"2\""]);
    assert.deepEqual(await to.import(source, { onConflict: "skip" }), { imported: 0, skipped: 1 });
  }
  await assert.rejects(client().import("name\r\nno title"), ValidationError);
});

test("the change feed is read page by page, and an unknown position is refused", async () => {
  const { tasks, lists, changes } = client();
  await lists.create({ name: "Garden" });
  const task = await tasks.create({ title: "Mow" });
  const first = await changes("0", { limit: 1 });
  assert.deepEqual([first.changes.length, first.changes[0].type, first.has_more], [1, "list", true]);
  const second = await changes(first.next);
  assert.deepEqual([second.changes[0].title, second.has_more], ["Mow", false]);
  await tasks.remove(task);
  const third = await tasks.changes(second.next);
  assert.deepEqual([third.changes[0].deleted, third.changes[0].type, third.has_more], [true, undefined, false]);
  await assert.rejects(changes("1000-1"), (error) => error instanceof GoneError && error.code === "sync_position_gone");
});

test("a problem is a typed error with the service's sentence, its fields and the id of the request", async () => {
  await assert.rejects(client().tasks.create({ titel: "A" }), (error) => {
    assert.ok(error instanceof ValidationError);
    assert.deepEqual([error.name, error.status, error.code, error.title], ["ValidationError", 422, "validation_error", "Invalid input"]);
    assert.match(error.message, /did you mean 'title'/);
    assert.deepEqual(error.errors.map(({ field }) => field), ["titel", "title"]);
    assert.match(error.requestId, /./);
    return true;
  });
  await assert.rejects(client({ token: "not-a-jwt" }).tasks.list(), UnauthorizedError);
  await assert.rejects(client({ token: "not-a-jwt" }).user(), UnauthorizedError);
});

test("ids of any issuer are encoded in paths, and ids that URL parsers would remove are not sent", async () => {
  for (const user of ["auth0|12/3?#%", "Äda 日本", "..", "."]) {
    const { fetch, sent } = recorder();
    const doable = client({ user, fetch });
    assert.equal((await doable.tasks.create({ title: "Mine" })).user_id, user);
    assert.equal(await doable.user(), user);
    assert.ok(sent[0].url.endsWith(user.startsWith(".") ? "/api/me/tasks" : `/api/${encodeURIComponent(user)}/tasks`));
    await doable.erase(user);
  }
});

test("an address with a path and a slash at its end works, and 304 is an answer", async () => {
  const doable = client({ url: `${URL_OF_SERVICE}/` });
  await doable.tasks.create({ title: "There" });
  const { status, body, headers } = await doable.request("GET", "/tasks");
  assert.deepEqual([status, titles(body)], [200, ["There"]]);
  const again = await doable.request("GET", "/tasks", { headers: { "If-None-Match": headers.get("ETag") } });
  assert.deepEqual([again.status, again.body], [304, undefined]);
});

test("an erasure needs the user's own id", async () => {
  const user = newUser();
  const doable = client({ user });
  await doable.tasks.create({ title: "Mine" });
  await assert.rejects(doable.erase("another"), SignedOutError);
  await doable.erase(user);
  assert.deepEqual(await doable.tasks.list(), []);
  await assert.rejects(client().request("GET", "/../another/tasks"), ForbiddenError);
});

test("by default, requests go to the address of the page", async () => {
  const { fetch, sent } = recorder();
  const doable = createDoable({ token: sign("alice"), retries: 0, fetch: (url, init) => fetch(new URL(url, URL_OF_SERVICE), init) });
  await doable.tasks.list();
  assert.equal(sent[0].url, `${URL_OF_SERVICE}/api/alice/tasks`);
});

test("the client has a method for every route of the service", async () => {
  const { paths } = await (await fetch(`${URL_OF_SERVICE}/openapi.json`)).json();
  for await (const _ of client().tasks.live({ since: "0" })) break;
  for await (const _ of client().live({ since: "0" })) break;
  const same = ["batchTasks", "putList", "putTask"]; // do the same as another route
  const missing = Object.entries(paths).flatMap(([path, operations]) => {
    const pattern = new RegExp(`${path.replace(/{\w+}/g, "[^/?]+")}(\\?|$)`);
    return Object.entries(operations).filter(([method, { operationId }]) => path.startsWith("/api/") && !same.includes(operationId)
      && !all.sent.some((one) => one.method === method.toUpperCase() && pattern.test(one.url))).map(([, { operationId }]) => operationId);
  });
  assert.deepEqual(missing, []);
});
