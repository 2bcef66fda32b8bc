// A task list that any number of tabs keep together, on and off the line.
//
//   confirmed   what the service has said: tasks by id, as of `position`
//   queue       what the person did here and the service has not answered yet, oldest first
//   shown()     the first with the second applied; it is made anew each time, so nothing is ever rolled back
//
// Changes of other tabs come as events; each write says which version it was made on (If-Match), or, for a new task,
// which intention it is (Idempotency-Key), so that it may be sent as often as it takes. Whatever was changed in two
// places is put to the person.

const API = "/api/me";
const SILENCE = 45_000; // milliseconds; the service sends a comment every 20 seconds
const COMPARED = ["title", "completed"]; // what a person can change here

const confirmed = new Map();
const gone = new Map(); // the version at which a task was deleted here: older news of it is none
const touched = new Set(); // the tasks that others changed since the page was last drawn
const real = new Map(); // the ids that new tasks were given, by those that they had here
const held = []; // news of tasks unknown here, while the answer to a new one of ours is under way
let queue = [];
let position; // as the service gave it, opaque to us; undefined: everything has to be read
let link; // aborted when the line goes
let sending; // the write that is under way
let notBefore = 0; // the moment until which the service, or its absence, asks for patience
let token;
let listTag;
let storage;

const $ = (id) => document.getElementById(id);
const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

// ---------------------------------------------------------------------------------------------------- the protocol

/** Nobody answered, or asked to come back in `after` seconds. */
class Away extends Error {
  constructor(after) {
    super("away");
    this.after = after;
  }
}

/** Send a request with a token, a new one if it must be, and note it in the log. Raises Away. */
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

/** The body of an answer, which may break off as well. Raises Away. */
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

// ------------------------------------------------------------------------------------------- what the service says

/** Read everything, page by page, and put it in place of what there was. */
async function readAll(signal) {
  let copy = new Map();
  let since = "0";
  for (;;) {
    const response = await request("GET", `/tasks/changes?since=${since}`, { signal });
    if (response.status === 410) { // the trash was emptied, or the user erased, while we read
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

/** Follow the event stream from `position` on, until it ends. */
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
      rest = blocks.pop(); // has not arrived in full
      for (const block of blocks) receive(parse(block));
      if (position === undefined) return;
      draw();
    }
  } finally {
    clearTimeout(watch);
    silence.abort();
  }
}

/** The fields of one event; a comment has none. https://html.spec.whatwg.org/multipage/server-sent-events.html */
const parse = (block) => Object.fromEntries(block.split("\n").filter((line) => line && !line.startsWith(":"))
  .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));

function receive(event) {
  if (event.retry) follow.retry = Number(event.retry);
  if (event.event === "reset") {
    note("EVENT", "reset", "").event();
    position = undefined; // what came in between is forgotten: read everything
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

/** Take a task's newer state, wherever it comes from; whether it was newer. */
function take(change) {
  if (!isNews(change)) return false;
  if (!confirmed.has(change.id) && queue.some((write) => write.kind === "create" && write.tried)) {
    held.push(change); // it may be ours
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

/** Keep the stream open for as long as there is a line. */
async function follow(signal) {
  for (let failures = 0; !signal.aborted; ) {
    try {
      if (position === undefined) await readAll(signal);
      const began = Date.now();
      await readEvents(signal);
      failures = 0;
      if (position === undefined || Date.now() - began > SILENCE) continue; // a token has run out, most likely
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

// ---------------------------------------------------------------------------------------------- what the person did

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
const isOpen = (write) => write !== sending && (!write.tried || Boolean(write.conflict)); // may still be changed

function create(title) {
  const key = crypto.randomUUID();
  enqueue({ key, kind: "create", id: `new-${key}`, fields: { title } });
}

/** Change a task that the person saw as `seen`. What was not sent yet is changed where it waits. */
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

/** Send what waits, one after the other, for as long as somebody answers. */
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
  if (link && link.signal !== signal) send(); // the line went and came back meanwhile
}

/** Send one write, and do what its answer asks for. Raises Away. */
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
    if (response.status === 404) response = await request("GET", path, { signal }); // a first try may have arrived
    if (response.ok) {
      delete write.restore;
      write.seen = await read(response);
      take(write.seen);
      return; // the change itself is the next to be sent
    }
    if (response.status === 404) { // the trash was emptied: make it anew
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

/** The service has written it: what waits behind it was made on its answer. */
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

/** Somebody else was faster, and `theirs` is there now; null when they deleted it. Only what clashes is asked about. */
function meet(write, theirs) {
  if (theirs) take(theirs);
  else confirmed.delete(write.id);
  const names = write.kind === "delete" ? COMPARED : Object.keys(write.fields);
  const wanted = (name) => theirs[name] === write.fields[name]; // by both, or our own first try had arrived
  if (theirs && names.every(wanted)) done(write, theirs);
  else if (theirs && names.every((name) => wanted(name) || theirs[name] === write.seen?.[name])) write.seen = theirs;
  else {
    write.conflict = { theirs };
    toast(`“${titleOf(write)}” was changed in two places.`, {
      kind: "conflict", key: write.key, label: "Choose", action: () => focusChoice(write),
    });
  }
}

/** The person has chosen. */
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

// ------------------------------------------------------------------------------------ what outlives this tab's page

const PREFIX = "doable.queue.";

/** Find this tab's queue. A tab that is open holds the lock of its queue's name; who gets it otherwise, inherits. */
async function openQueue() {
  let tab = sessionStorage.getItem("doable.tab");
  if (!tab || !(await lock(PREFIX + tab, AbortSignal.timeout(500)))) { // none, or a copy of a tab that is open
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

/** Wait until the tab of this queue is closed, and go on where it ended. */
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

/** Hold a lock for as long as this page lives; whether it could be had. */
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
    toast("This browser keeps nothing more: what waits is lost when the tab is closed.", { kind: "failed", key: "full" });
  }
}

// ---------------------------------------------------------------------------------------------------- what is seen

const rows = new Map();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const moves = () => !calm.matches && !document.hidden;
const keys = new Map(); // the row of a new task stays its row when it gets its id
const keyOf = (id) => keys.get(id) ?? id;
let editing; // { id, seen, task }: a title that is being changed, and the task as it was when that began
let isDue = false;
let isDrawing = false; // a row that is moved loses the focus for a moment, which ends no editing

/** Draw once, when all that happens now has happened. */
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

/** Change a title in place. What is sent later is tied to the version that is seen now. */
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
  // The window may lose the focus, to another tab for instance, and have it again.
  field.onblur = () => { if (!isDrawing && document.activeElement !== field) end(true); };
  field.onkeydown = (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // the title, which has the focus next, would take it for a click
    end(event.key === "Enter");
  };
}

/** Do something that takes a row away, and put the focus where a person goes on. */
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
  const kept = `${waiting} ${waiting === 1 ? "change is" : "changes are"} kept here until you are back.`;
  $("board").dataset.waiting = waiting;
  $("empty").hidden = tasks.length > 0 || position === undefined;
  $("counts").textContent = tasks.length ? `${open} open, ${tasks.length - open} done` : "";
  $("hint").hidden = !tasks.length;
  $("notice").hidden = !isCutOff();
  $("notice-text").textContent = waiting ? kept : "Go on working. What you change is sent when you are back.";
  const versions = [...[...confirmed.values()].map((task) => task.version), ...gone.values()];
  $("newest").textContent = versions.length ? `version ${versions.reduce((a, b) => Math.max(a, b))}` : "";
  document.title = open ? `${open} open · Doable` : "Doable";
}

function tell(state) {
  document.body.dataset.state = state;
  $("state").textContent =
    { live: "Live", offline: "Offline", reconnecting: position === undefined ? "Connecting" : "Reconnecting" }[state];
}

// --------------------------------------------------------------------------------------------------- what was said

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

/** Add a line to the log of what goes over the wire; gives what its end is told to. */
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

/** Ask for the list with the tag that it had when we last asked: 304 if nothing has changed since. */
async function compare() {
  if (!link) return toast("There is no line to compare over.");
  try {
    const response = await request("GET", "/tasks", { headers: listTag ? { "If-None-Match": listTag } : {} });
    if (response.status === 304) return toast("304: the list has not changed since you last compared.");
    const list = await read(response);
    const isSame = list.length === confirmed.size && list.every(({ id, version }) => confirmed.get(id)?.version === version);
    listTag = response.headers.get("ETag");
    toast(isSame ? `200: ${list.length} ${list.length === 1 ? "task" : "tasks"}, the same as here.` : "200: the list has moved on; an event will tell.");
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    toast("The service does not answer.", { kind: "failed" });
  }
}

// ------------------------------------------------------------------------------------------------------- beginning

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
