// A task list that any number of tabs share, online and offline.
//
//   confirmed   the state that the service has confirmed: tasks by id, as of `position`
//   queue       the user's writes without a response yet, oldest first
//   shown()     `confirmed` with `queue` applied; it is computed again each time, so nothing is ever rolled back
//
// Changes of other tabs arrive as events. Each write names the version that it changes (If-Match). A new task has an
// Idempotency-Key instead. Every write may therefore be retried. If two changes conflict, the user decides.

const API = "/api/me";
const SILENCE = 45_000; // milliseconds; the service sends a comment every 20 seconds
const COMPARED = ["title", "completed"]; // the fields that the user can change here

const confirmed = new Map();
const gone = new Map(); // the version of a deletion in this tab: older changes of the task are ignored
const touched = new Set(); // tasks that other clients changed since the page was last drawn
const real = new Map(); // the ids that the service assigned to new tasks, by their temporary ids
const held = []; // changes of unknown tasks, while the response to a new task of this tab is pending
let queue = [];
let position; // opaque, from the service; undefined: read everything
let link; // aborted when the connection is lost
let sending; // the write that is being sent
let notBefore = 0; // send no write before this time
let token;
let listTag;
let storage;

const $ = (id) => document.getElementById(id);
const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

// -------------------------------------------------------------------------------------------------------- the protocol

/** The service did not answer, or asked to retry after `after` seconds. */
class Away extends Error {
  constructor(after) {
    super("away");
    this.after = after;
  }
}

/** Send a request with a token, get a new token if necessary, and add it to the log. Throws Away. */
async function request(method, path, { headers = {}, body, signal = link?.signal, isSecond = false } = {}) {
  let line;
  try {
    token ??= await newToken(signal);
    line = note(method, path, describe(headers));
    const response = await fetch(API + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal,
    });
    line.answered(response.status, describeAnswer(response));
    if (response.status === 401) {
      token = undefined;
      if (isSecond) throw new Away(5);
      return await request(method, path, { headers, body, signal, isSecond: true });
    }
    if ([408, 429].includes(response.status) || response.status >= 500) throw new Away(retryAfter(response));
    return response;
  } catch (error) {
    if (error instanceof Away) throw error;
    line?.failed(signal?.aborted ? "cut off" : "no answer");
    throw new Away();
  }
}

async function newToken(signal) {
  const line = note("GET", "/playground/session", "");
  const response = await fetch("/playground/session", { cache: "no-store", signal });
  line.answered(response.status, response.ok ? "a token for 15 minutes" : "");
  if (!response.ok) throw new Away();
  return (await response.json()).token;
}

/** Read the body of a response; the connection may break here too. Throws Away. */
const read = (response) => response.json().catch(() => { throw new Away(); });

const retryAfter = (response) => Number(response.headers.get("Retry-After") ?? 2);

const shorten = (text) => (text.length > 14 ? `${text.slice(0, 8)}…` : text);
const describe = (headers) =>
  Object.entries(headers).map(([name, value]) => `${name}: ${shorten(String(value))}`).join(", ");

function describeAnswer(response) {
  if (response.status === 304) return "unchanged";
  if (response.status === 412) return "changed elsewhere";
  if (response.headers.get("Idempotency-Replayed")) return "had arrived before";
  const tag = response.headers.get("ETag");
  return tag ? `ETag: ${shorten(tag)}` : "";
}

// ------------------------------------------------------------------------------------------------- the service's state

/** Read everything, page by page, and replace the current state. */
async function readAll(signal) {
  let copy = new Map();
  let since = "0";
  for (;;) {
    const response = await request("GET", `/tasks/changes?since=${since}`, { signal });
    if (response.status === 410) { // the trash was emptied, or the user was erased, in the meantime
      copy = new Map();
      since = "0";
      continue;
    }
    if (!response.ok) throw new Away();
    const page = await read(response);
    for (const change of page.changes) change.deleted ? copy.delete(change.id) : copy.set(change.id, change);
    since = page.next;
    if (!page.has_more) break;
  }
  confirmed.clear();
  gone.clear();
  for (const [id, task] of copy) confirmed.set(id, task);
  position = since;
  draw();
}

/** Read the event stream from `position` until it ends. */
async function readEvents(signal) {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const response = await request("GET", "/tasks/events", { headers: { "Last-Event-ID": position }, signal: either });
  if (!response.ok) throw new Away();
  tell("live");
  notBefore = 0;
  send();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let watch;
  try {
    for (;;) {
      clearTimeout(watch);
      watch = setTimeout(() => silence.abort(), SILENCE);
      const { value, done } = await reader.read().catch(() => { throw new Away(); });
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop(); // the last event may be incomplete
      for (const block of blocks) receive(parse(block));
      if (position === undefined) return;
      draw();
    }
  } finally {
    clearTimeout(watch);
    silence.abort();
  }
}

/** Parse the fields of one event; a comment has none. https://html.spec.whatwg.org/multipage/server-sent-events.html */
const parse = (block) => Object.fromEntries(block.split("\n").filter((line) => line && !line.startsWith(":"))
  .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));

function receive(event) {
  if (event.retry) follow.retry = Number(event.retry);
  if (event.event === "reset") {
    note("EVENT", "reset", "").event();
    position = undefined; // the changes in between are unknown: read everything
    return;
  }
  if (event.event === "task") {
    const change = JSON.parse(event.data);
    note("EVENT", `task ${change.id}`, `version ${change.version}${change.deleted ? ", deleted" : ""}`).event();
    if (take(change) && change.id !== sending?.id) touched.add(change.id);
  }
  if (event.id) position = event.id;
}

const isNews = ({ id, version }) => version > (confirmed.get(id)?.version ?? gone.get(id) ?? 0);

/** Accept a task's state if it is newer. Returns whether it was newer. */
function take(change) {
  if (!isNews(change)) return false;
  if (!confirmed.has(change.id) && queue.some((write) => write.kind === "create" && write.tried)) {
    held.push(change); // it may be this tab's new task
    return false;
  }
  if (change.deleted) {
    confirmed.delete(change.id);
    gone.set(change.id, change.version);
  } else confirmed.set(change.id, change);
  for (const write of queue) {
    if (write.id === change.id && write.conflict) write.conflict.theirs = change.deleted ? null : change;
  }
  return true;
}

function release() {
  for (const change of held.splice(0)) take(change);
}

/** Keep the stream open while the tab is online. */
async function follow(signal) {
  for (let failures = 0; !signal.aborted; ) {
    try {
      if (position === undefined) await readAll(signal);
      const began = Date.now();
      await readEvents(signal);
      failures = 0;
      if (position === undefined || Date.now() - began > SILENCE) continue; // most likely the token has expired
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Away)) throw error;
      failures += 1;
    }
    if (signal.aborted) return;
    tell("reconnecting");
    await pause(Math.min(follow.retry * 2 ** Math.max(0, failures - 1), 30_000), signal);
  }
}
follow.retry = 2_000;

const isCutOff = () => $("offline").checked || !navigator.onLine;

function switchLine() {
  if (isCutOff()) {
    link?.abort();
    link = undefined;
    tell("offline");
  } else if (!link) {
    link = new AbortController();
    tell("reconnecting");
    follow(link.signal);
  }
  draw();
}

// --------------------------------------------------------------------------------------------------- the user's writes

function shown() {
  const tasks = new Map(confirmed);
  for (const write of queue) {
    if (write.kind === "create") tasks.set(write.id, { id: write.id, completed: false, ...write.fields });
    else if (write.kind === "delete" && !write.conflict) tasks.delete(write.id);
    else tasks.set(write.id, { ...(tasks.get(write.id) ?? write.seen), ...write.fields });
  }
  if (editing && !tasks.has(current(editing.id))) tasks.set(editing.id, editing.seen ?? editing.task);
  return tasks;
}

const current = (id) => real.get(id) ?? id;
const seenOf = (id) => confirmed.get(id) ?? queue.find((write) => write.id === id && write.seen)?.seen;
const isOpen = (write) => write !== sending && (!write.tried || Boolean(write.conflict)); // not sent yet, so it may still be changed

function create(title) {
  const key = crypto.randomUUID();
  enqueue({ key, kind: "create", id: `new-${key}`, fields: { title } });
}

/** Change a task that the user saw as `seen`. If an unsent write exists, change that write. */
function change(id, fields, seen = seenOf(id)) {
  const waiting = queue.findLast((write) => write.id === id);
  if (!waiting || !isOpen(waiting) || waiting.kind === "delete") {
    enqueue({ key: crypto.randomUUID(), kind: "update", id, fields, seen });
    return;
  }
  Object.assign(waiting.fields, fields);
  const undone = Object.entries(waiting.fields).every(([name, value]) => waiting.seen?.[name] === value);
  if (waiting.kind === "update" && !waiting.conflict && undone) drop(waiting);
  enqueue();
}

function remove(id) {
  const waiting = queue.filter((write) => write.id === id);
  if (waiting.every(isOpen)) queue = queue.filter((write) => write.id !== id);
  const seen = waiting[0]?.conflict?.theirs ?? waiting[0]?.seen ?? seenOf(id);
  if (!(waiting[0]?.kind === "create" && isOpen(waiting[0]))) {
    enqueue({ key: crypto.randomUUID(), kind: "delete", id, fields: {}, seen });
  } else enqueue();
}

function enqueue(write) {
  if (write) queue.push(write);
  keep();
  draw();
  send();
}

const drop = (write) => { queue = queue.filter((other) => other !== write); };

/** Send the pending writes one after the other, while the service answers. */
async function send() {
  if (sending || !link || position === undefined || Date.now() < notBefore) return;
  const signal = link.signal;
  const stuck = (write) => queue.some((other) => other.id === write.id && other.conflict);
  try {
    for (;;) {
      sending = queue.find((write) => !stuck(write));
      if (!sending) break;
      sending.tried = true;
      keep();
      draw();
      await settle(sending, signal);
    }
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    const wait = 1000 * (error.after ?? 2);
    if (!signal.aborted) {
      notBefore = Date.now() + wait;
      setTimeout(send, wait + 1);
    }
  } finally {
    sending = undefined;
    keep();
    draw();
  }
  if (link && link.signal !== signal) send(); // the tab went offline and online again in the meantime
}

/** Send one write and handle its response. Throws Away. */
async function settle(write, signal) {
  const path = `/tasks/${write.id}`;
  const headers = { "If-Match": `"${write.seen?.version}"` };
  const key = { "Idempotency-Key": write.key };
  let response;
  if (write.kind === "create") {
    response = await request("POST", "/tasks", { headers: key, body: write.fields, signal });
  } else if (write.kind === "delete") {
    response = await request("DELETE", path, { headers, signal });
  } else if (write.restore) {
    response = await request("POST", `/trash/${write.id}/restore`, { signal });
    if (response.status === 404) response = await request("GET", path, { signal }); // a first attempt may have succeeded
    if (response.ok) {
      delete write.restore;
      write.seen = await read(response);
      take(write.seen);
      return; // send the change itself next
    }
    if (response.status === 404) { // the trash was emptied: create the task again
      response = await request("POST", "/tasks", {
        headers: key, body: { title: write.seen.title, completed: write.seen.completed, ...write.fields }, signal,
      });
    }
  } else response = await request("PATCH", path, { headers, body: write.fields, signal });

  if (response.status === 204 || (response.status === 404 && write.kind === "delete")) {
    gone.set(write.id, Math.max(write.seen?.version ?? 0, gone.get(write.id) ?? 0));
    confirmed.delete(write.id);
    drop(write);
  } else if (response.ok) done(write, await read(response));
  else if (response.status === 412) meet(write, (await read(response)).current);
  else if (response.status === 404) meet(write, null);
  else if (response.headers.has("Retry-After")) throw new Away(retryAfter(response));
  else {
    const { detail } = await read(response);
    drop(write);
    toast(`“${titleOf(write)}” was refused. ${detail}`, { kind: "failed" });
  }
  release();
}

/** The service has executed the write. Later writes of the task continue from its result. */
function done(write, task) {
  drop(write);
  if (write.id !== task.id) {
    real.set(write.id, task.id);
    keys.set(task.id, keyOf(write.id));
  }
  if (isNews(task)) confirmed.set(task.id, task);
  for (const later of queue) {
    if (later.id === write.id) Object.assign(later, { id: task.id, seen: task });
  }
  if (editing?.id === write.id) editing.seen ??= task;
}

/** Another client changed the task first. `theirs` is the current task; null if deleted. Ask the user only about conflicts. */
function meet(write, theirs) {
  if (theirs) take(theirs);
  else confirmed.delete(write.id);
  const names = write.kind === "delete" ? COMPARED : Object.keys(write.fields);
  const wanted = (name) => theirs[name] === write.fields[name]; // both made the same change, or the first attempt succeeded
  if (theirs && names.every(wanted)) done(write, theirs);
  else if (theirs && names.every((name) => wanted(name) || theirs[name] === write.seen?.[name])) write.seen = theirs;
  else {
    write.conflict = { theirs };
    toast(`“${titleOf(write)}” was changed in two places.`, {
      kind: "conflict", key: write.key, label: "Choose", action: () => focusChoice(write),
    });
  }
}

/** Apply the user's choice. */
function resolve(write, mine) {
  const { theirs } = write.conflict;
  if (!mine) queue = queue.filter((other) => other.id !== write.id);
  else {
    delete write.conflict;
    write.tried = false;
    if (theirs) write.seen = theirs;
    else write.restore = true;
  }
  enqueue();
}

const titleOf = (write) => write.fields.title ?? write.seen?.title ?? "A task";

// ------------------------------------------------------------------------------------------------ storage of the queue

const PREFIX = "doable.queue.";

/** Find this tab's queue. An open tab holds the lock of its queue. If the tab closes, the next holder takes the queue over. */
async function openQueue() {
  let tab = sessionStorage.getItem("doable.tab");
  if (!tab || !(await lock(PREFIX + tab, AbortSignal.timeout(500)))) { // a new tab, or a copy of an open tab
    tab = crypto.randomUUID();
    await lock(PREFIX + tab);
  }
  sessionStorage.setItem("doable.tab", tab);
  storage = PREFIX + tab;
  queue = readQueue(storage);
  Object.keys(localStorage).forEach(inherit);
  addEventListener("storage", ({ key }) => key && inherit(key));
}

const awaited = new Set();

/** Wait until the tab of this queue closes, then take its writes over. */
function inherit(name) {
  if (!name.startsWith(PREFIX) || name === storage || awaited.has(name)) return;
  awaited.add(name);
  navigator.locks.request(name, () => {
    awaited.delete(name);
    queue.push(...readQueue(name));
    localStorage.removeItem(name);
    enqueue();
  });
}

/** Hold a lock until this page closes. Resolves to whether the lock was available. */
const lock = (name, signal) => new Promise((resolve) => {
  navigator.locks.request(name, { signal }, () => {
    resolve(true);
    return new Promise(() => {});
  }).catch(() => resolve(false));
});

function readQueue(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "[]");
  } catch {
    return [];
  }
}

function keep() {
  if (!storage) return;
  try {
    if (queue.length) localStorage.setItem(storage, JSON.stringify(queue));
    else localStorage.removeItem(storage);
  } catch {
    toast("This browser cannot store more data. Pending changes are lost when you close the tab.", { kind: "failed", key: "full" });
  }
}

// ------------------------------------------------------------------------------------------------------------ the page

const rows = new Map();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const moves = () => !calm.matches && !document.hidden;
const keys = new Map(); // a new task keeps its row when the service assigns its id
const keyOf = (id) => keys.get(id) ?? id;
let editing; // { id, seen, task }: the title that is being edited, and the task when editing began
let isDue = false;
let isDrawing = false; // moving a row takes its focus for a moment; this must not end editing

/** Draw once after all current changes. */
function draw() {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    isDrawing = true;
    drawNow();
    isDrawing = false;
  });
}

function drawNow() {
  const age = (task) => (typeof task.id === "number" ? task.id : 1e15 + queue.findIndex(({ id }) => id === task.id));
  const tasks = [...shown().values()].sort((a, b) => a.completed - b.completed || age(b) - age(a));
  const list = $("list");
  const tops = new Map([...rows].map(([key, row]) => [key, row.offsetTop]));
  const focused = document.activeElement;

  const wanted = new Set(tasks.map((task) => keyOf(task.id)));
  for (const [key, row] of rows) {
    if (!wanted.has(key)) {
      rows.delete(key);
      leave(row, tops.get(key));
    }
  }
  let place = list.firstElementChild;
  for (const task of tasks) {
    const key = keyOf(task.id);
    if (!rows.has(key)) rows.set(key, newRow(key));
    const row = rows.get(key);
    while (place?.classList.contains("leaving")) place = place.nextElementSibling;
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
    fill(row, task);
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  for (const [key, row] of rows) arrive(row, tops.get(key));
  for (const id of touched) if (moves()) rows.get(keyOf(id))?.animate(
    [{ backgroundColor: "var(--flash)" }, {}], { duration: 1400, easing: "ease-out" });
  touched.clear();
  for (const one of document.querySelectorAll("[data-toast]")) {
    const { toast: key } = one.dataset;
    if (key !== "full" && !queue.some((write) => write.conflict && write.key === key)) one.remove();
  }
  summarise(tasks);
}

function newRow(key) {
  const row = $("row").content.firstElementChild.cloneNode(true);
  const part = (name) => row.querySelector(`.${name}`);
  const id = () => row.task.id;
  part("done").addEventListener("change", ({ target }) => change(id(), { completed: target.checked }));
  part("delete").addEventListener("click", () => leaveTo(row, () => remove(id())));
  part("title").addEventListener("click", () => edit(row));
  part("title").addEventListener("keydown", (event) => {
    if (event.key === "F2") edit(row);
    if (event.key === "Delete") leaveTo(row, () => remove(id()));
  });
  for (const choice of row.querySelectorAll("[data-choice]")) {
    choice.addEventListener("click", () => {
      const write = queue.find((other) => other.id === id() && other.conflict);
      if (write) resolve(write, choice.dataset.choice === "mine");
      part("title").focus();
    });
  }
  row.dataset.key = key;
  return row;
}

const WORDS = { waiting: "waiting", sending: "sending", conflict: "your choice" };

function fill(row, task) {
  const part = (name) => row.querySelector(`.${name}`);
  const writes = queue.filter((write) => write.id === task.id);
  const conflict = writes.find((write) => write.conflict);
  const state = conflict ? "conflict" : writes.includes(sending) ? "sending" : writes.length ? "waiting" : "saved";
  row.task = task;
  row.dataset.state = state;
  row.classList.toggle("completed", task.completed);
  part("done").checked = task.completed;
  part("done").setAttribute("aria-label", `Done: ${task.title}`);
  part("delete").setAttribute("aria-label", `Delete: ${task.title}`);
  part("title").textContent = task.title;
  part("badge").textContent = WORDS[state] ?? `v${task.version}`;
  part("badge").title = state === "saved" ? "the version that the next change is tied to" : "";
  part("choice").hidden = !conflict;
  if (!conflict) return;
  const { theirs } = conflict.conflict;
  const deletes = conflict.kind === "delete";
  part("why").textContent = theirs ? "Changed elsewhere while you changed it here." :
    "Deleted elsewhere while you changed it here.";
  part("mine-label").textContent = deletes ? "Delete it" : theirs ? "Keep mine" : "Bring it back";
  part("theirs-label").textContent = theirs ? "Take theirs" : "Let it go";
  version(part("mine"), deletes ? null : { ...(theirs ?? conflict.seen), ...conflict.fields });
  version(part("theirs"), theirs);
}

function version(element, task) {
  element.textContent = task ? task.title : "deleted";
  element.classList.toggle("struck", Boolean(task?.completed));
  element.classList.toggle("nothing", !task);
}

/** Edit a title in place. The write will name the version that is visible now. */
function edit(row) {
  const title = row.querySelector(".title");
  const field = row.querySelector(".edit");
  const { id } = row.task;
  editing = { id, seen: seenOf(id), task: row.task };
  row.classList.add("editing");
  field.value = row.task.title;
  field.focus();
  field.select();
  const end = (save) => {
    if (editing?.id !== id) return;
    const { seen, task } = editing;
    editing = undefined;
    field.onblur = field.onkeydown = null;
    const isFocused = document.activeElement === field;
    row.classList.remove("editing");
    if (isFocused) title.focus();
    const text = field.value.trim();
    if (save && text && text !== task.title) change(current(id), { title: text }, seen);
    else draw();
  };
  // The window may lose the focus, for example to another tab, and regain it.
  field.onblur = () => { if (!isDrawing && document.activeElement !== field) end(true); };
  field.onkeydown = (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // otherwise the title, which gets the focus next, treats the key as a click
    end(event.key === "Enter");
  };
}

/** Run an action that removes a row, and move the focus to the next row. */
function leaveTo(row, action) {
  const next = row.nextElementSibling ?? row.previousElementSibling;
  action();
  (next?.querySelector(".title") ?? $("title")).focus({ preventScroll: true });
}

function focusChoice(write) {
  const row = rows.get(keyOf(write.id));
  row?.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
  row?.querySelector("[data-choice]").focus({ preventScroll: true });
}

function arrive(row, top) {
  if (!moves() || top === row.offsetTop) return;
  row.animate(top === undefined
    ? [{ opacity: 0, transform: "translateY(-0.6rem) scale(0.98)" }, {}]
    : [{ transform: `translateY(${top - row.offsetTop}px)` }, {}], { duration: 260, easing: "cubic-bezier(.2,.8,.2,1)" });
}

function leave(row, top) {
  if (!moves()) return row.remove();
  row.classList.add("leaving");
  row.inert = true;
  row.style.top = `${top}px`;
  row.animate([{}, { opacity: 0, transform: "translateX(1.5rem)" }], { duration: 200, easing: "ease-in" })
    .finished.finally(() => row.remove());
}

function summarise(tasks) {
  const open = tasks.filter((task) => !task.completed).length;
  const waiting = queue.filter((write) => !write.conflict).length;
  const kept = `${waiting} ${waiting === 1 ? "change is" : "changes are"} stored here until you are online again.`;
  $("board").dataset.waiting = waiting;
  $("empty").hidden = tasks.length > 0 || position === undefined;
  $("counts").textContent = tasks.length ? `${open} open, ${tasks.length - open} done` : "";
  $("hint").hidden = !tasks.length;
  $("notice").hidden = !isCutOff();
  $("notice-text").textContent = waiting ? kept : "You can continue to work. Your changes are sent when you are online again.";
  const versions = [...[...confirmed.values()].map((task) => task.version), ...gone.values()];
  $("newest").textContent = versions.length ? `version ${versions.reduce((a, b) => Math.max(a, b))}` : "";
  document.title = open ? `${open} open · Doable` : "Doable";
}

function tell(state) {
  document.body.dataset.state = state;
  $("state").textContent =
    { live: "Live", offline: "Offline", reconnecting: position === undefined ? "Connecting" : "Reconnecting" }[state];
}

// ------------------------------------------------------------------------------------------------ messages and the log

function toast(text, { kind = "info", key, label, action } = {}) {
  if (key && document.querySelector(`[data-toast="${key}"]`)) return;
  if (!key) document.querySelector(".toast:not([data-toast])")?.remove();
  const one = $("toast").content.firstElementChild.cloneNode(true);
  const button = one.querySelector(".action");
  one.querySelector(".text").textContent = text;
  one.dataset.kind = kind;
  one.role = kind === "info" ? "status" : "alert";
  if (key) one.dataset.toast = key;
  button.hidden = !label;
  button.textContent = label ?? "";
  button.addEventListener("click", () => { one.remove(); action?.(); });
  one.querySelector(".close").addEventListener("click", () => one.remove());
  $("toasts").append(one);
  if (!key) setTimeout(() => one.remove(), 8_000);
}

/** Add a line to the log of requests. Returns functions that record its result. */
function note(method, path, detail) {
  const line = $("line").content.firstElementChild.cloneNode(true);
  const write = (name, text) => { line.querySelector(`.${name}`).textContent = text; };
  write("method", method);
  write("path", path);
  write("detail", detail);
  write("time", new Date().toLocaleTimeString("en-GB"));
  $("log").prepend(line);
  while ($("log").children.length > 80) $("log").lastElementChild.remove();
  const end = (kind, status, more) => {
    line.dataset.kind = kind;
    write("status", status);
    write("detail", [detail, more].filter(Boolean).join(" → "));
  };
  return {
    answered: (status, more) => end({ 304: "same", 412: "conflict" }[status] ?? (status < 300 ? "ok" : "failed"), status, more),
    failed: (why) => end("failed", "—", why),
    event: () => end("event", "SSE", ""),
  };
}

/** Request the list with its previous ETag: 304 if nothing has changed since. */
async function compare() {
  if (!link) return toast("You are offline.");
  try {
    const response = await request("GET", "/tasks", { headers: listTag ? { "If-None-Match": listTag } : {} });
    if (response.status === 304) return toast("304: the list has not changed since you last compared.");
    const list = await read(response);
    const isSame = list.length === confirmed.size && list.every(({ id, version }) => confirmed.get(id)?.version === version);
    listTag = response.headers.get("ETag");
    toast(isSame ? `200: ${list.length} ${list.length === 1 ? "task" : "tasks"}, the same as here.` : "200: the list has changed; an event will follow.");
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    toast("The service does not answer.", { kind: "failed" });
  }
}

// --------------------------------------------------------------------------------------------------------------- start

$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const title = $("title").value.trim();
  if (title) create(title);
  $("title").value = "";
});
$("offline").addEventListener("change", switchLine);
$("compare").addEventListener("click", compare);
addEventListener("online", switchLine);
addEventListener("offline", switchLine);

await openQueue();
switchLine();
