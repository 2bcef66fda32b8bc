// Task lists that any number of tabs share, online and offline. The client keeps the copy, sends what the user writes, and
// merges; this module only draws the copy and passes the user's actions on.

import { makeMovable } from "./arrange.mjs";
import { createDoable } from "./client/index.js";
import { indexedDBStorage, memoryStorage } from "./client/replica/replica.js";
import { choose, drawConflict, hearConflict, onConflict, tellConflicts } from "./conflicts.mjs";
import { dayName, factsOf, repeatChanges, rulesFor } from "./facts.mjs";
import { openWire } from "./wire.mjs";

const COLORS = ["#2e7d32", "#1565c0", "#c2410c", "#7b3fb5", "#b0356f", "#00796b"];
const $ = (id) => document.getElementById(id);

// ------------------------------------------------------------------------------------------------------- the connection

const query = new URLSearchParams(location.search);
const user = query.get("user") ?? "demo";
const isAlone = query.has("device"); // a second device: this tab has a copy of its own, in memory
const wire = openWire({
  device: `${user} ${isAlone ? crypto.randomUUID() : ""}`,
  storage: isAlone ? sessionStorage : localStorage,
  onSwitch: () => draw(),
  hear(message) {
    hearConflict(message);
    if (message.hello) tellConflicts(wire.post);
    if (message.conflict || message.choice) draw();
  },
});
const doable = createDoable({
  fetch: wire.fetch,
  async token() {
    const response = await wire.fetch(`/playground/session?user=${encodeURIComponent(user)}`, { cache: "no-store" });
    if (!response.ok) throw new Error(`There is no user "${user}".`);
    return (await response.json()).token;
  },
});
const database = indexedDBStorage();
const storage = isAlone ? memoryStorage() : { // offline, without a token, open the copy of this user
  ...database, names: async () => (await database.names()).filter((name) => name.endsWith(`:${user}`)),
};
let replica;
while (!replica) {
  try {
    replica = await doable.replica({
      storage,
      onRejected,
      onConflict(conflict) {
        setTimeout(draw);
        return onConflict(conflict, wire.post);
      },
    });
  } catch {
    tell(wire.isOffline() ? "offline" : "reconnecting");
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
  }
}

/** The service has refused a change. */
function onRejected({ error, op, uid, kind, changes }) {
  const isGone = error.code === "task_not_found" && op === "update";
  const restore = async () => {
    replica.restore(uid);
    await replica.sync();
    replica.update(uid, changes);
  };
  if (isGone) toast("A task that you have changed was deleted elsewhere.", { isBad: true, label: "Bring it back", action: restore });
  else toast(`A change of a ${kind} was refused. ${error.message}`, { isBad: true });
}

// --------------------------------------------------------------------------------------------------------------- lists

const listNow = () => replica.list(location.hash.slice(1))?.uid ?? null; // null: the inbox
const openTasks = (list, parent = "none") => replica.tasks({ list, parent, completed: false });

function drawLists() {
  const inbox = { uid: null, name: "Inbox" };
  const links = [inbox, ...replica.lists().filter(({ archived }) => !archived)].map(({ uid, name, color }) => {
    const link = $("list").content.firstElementChild.cloneNode(true);
    link.href = `#${uid ?? ""}`;
    link.dataset.list = uid ?? "";
    link.querySelector(".name").textContent = name;
    link.querySelector(".count").textContent = openTasks(uid).length || "";
    if (color) link.style.setProperty("--color", color);
    if (uid === listNow()) link.ariaCurrent = "page";
    return link;
  });
  const focused = document.activeElement.closest?.("#lists")?.contains(document.activeElement) && document.activeElement.dataset.list;
  $("lists").replaceChildren(...links);
  if (focused !== undefined && focused !== false) links.find(({ dataset }) => dataset.list === focused)?.focus();
  $("remove-list").hidden = !listNow();
}

$("add-list").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("list-name").value.trim();
  if (!name) return;
  $("list-name").value = "";
  location.hash = replica.createList({ name, color: COLORS[replica.lists().length % COLORS.length], after: null }).uid;
});
$("remove-list").addEventListener("click", () => {
  const { uid, name } = replica.list(listNow());
  replica.removeList(uid, { tasks: "trash" });
  location.hash = "";
  toast(`Deleted the list “${name}”.`, { label: "Undo", action: () => { replica.restoreList(uid); location.hash = uid; } });
});
addEventListener("hashchange", () => draw());

// ---------------------------------------------------------------------------------------------------------------- rows

const rows = new Map(); // by uid
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let isDue = false;

/** Draws once after all current changes. */
function draw() {
  if (isDue || !replica) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    drawNow();
  });
}

function drawNow() {
  const focused = document.activeElement;
  const tops = new Map([...rows].map(([uid, row]) => [uid, row.offsetTop]));
  const seen = new Set();
  const list = listNow();
  const open = openTasks(list);
  const done = replica.tasks({ list, parent: "none", completed: true, sort: "updated" });
  drawLists();
  fillList($("open"), open, seen);
  fillList($("done"), done.slice(0, 50), seen);
  for (const uid of rows.keys()) if (!seen.has(uid)) rows.delete(uid);
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true }); // moving a row takes it
  for (const [uid, row] of rows) if (!calm.matches && tops.has(uid) && tops.get(uid) !== row.offsetTop) {
    row.animate([{ transform: `translateY(${tops.get(uid) - row.offsetTop}px)` }, {}], { duration: 220, easing: "ease-out" });
  }
  $("empty").hidden = open.length + done.length > 0 || !replica.status.synced;
  $("finished").hidden = !done.length;
  $("done-count").textContent = `${done.length} done`;
  const { online, pending, problem } = replica.status;
  document.title = open.length ? `${open.length} open · Doable` : "Doable";
  document.body.dataset.pending = pending;
  $("pending").textContent = pending ? `${pending} to send` : "";
  $("notice").hidden = !wire.isOffline();
  tell(wire.isOffline() ? "offline" : online ? "live" : "reconnecting", problem?.message);
}

/** Puts the rows of these tasks into a list, in this order. */
function fillList(list, tasks, seen) {
  const wanted = new Set(tasks.map(({ uid }) => uid));
  for (const row of [...list.children]) if (!wanted.has(row.task.uid)) row.remove();
  tasks.forEach((task, at) => {
    seen.add(task.uid);
    if (!rows.has(task.uid)) rows.set(task.uid, newRow());
    const row = rows.get(task.uid);
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
    fill(row, task);
    fillList(row.querySelector(".subtasks"), replica.tasks({ parent: task.uid }), seen);
  });
}

function newRow() {
  const row = $("row").content.firstElementChild.cloneNode(true);
  const part = (name) => row.querySelector(`.${name}`);
  const uid = () => row.task.uid;
  const details = part("details");
  part("check").addEventListener("change", ({ target }) => complete(row.task, target.checked));
  part("delete").addEventListener("click", () => remove(row));
  part("title").addEventListener("click", () => edit(row));
  part("title").addEventListener("keydown", ({ key }) => {
    if (key === "F2") edit(row);
    if (key === "Delete") remove(row);
  });
  part("more").addEventListener("click", () => {
    details.hidden = !details.hidden;
    part("more").ariaExpanded = !details.hidden;
    fill(row, row.task);
    if (!details.hidden) details.elements.due.focus();
  });
  details.addEventListener("submit", (event) => {
    event.preventDefault();
    const { subtask } = details.elements;
    if (subtask.value.trim()) replica.create({ title: subtask.value.trim(), parent_id: uid(), after: null });
    subtask.value = "";
  });
  details.addEventListener("change", ({ target: { name, value } }) => {
    if (name === "list") replica.move(uid(), { list_id: value || null });
    else if (name !== "subtask") replica.update(uid(), CHANGES[name](value, row.task));
  });
  details.elements.skip.addEventListener("click", async () => {
    await doable.tasks.skip(row.task.id).catch(({ message }) => toast(message, { isBad: true }));
  });
  for (const button of row.querySelectorAll("[data-choice]")) button.addEventListener("click", () => {
    choose(uid(), button.dataset.choice, wire.post);
    draw();
    part("title").focus();
  });
  makeMovable(part("grip"), row, {
    siblings: ({ parent_id }) => openTasks(listNow(), parent_id ?? "none"),
    hasSubtasks: (task) => replica.tasks({ parent: task.uid }).length > 0,
    move(task, place) {
      replica.move(task.uid, place);
      const { list_id, parent_id } = replica.task(task.uid);
      const all = openTasks(list_id, parent_id ?? "none");
      const home = replica.task(parent_id)?.title ?? replica.list(list_id)?.name ?? "Inbox";
      $("spoken").textContent = `“${task.title}” is ${all.indexOf(replica.task(task.uid)) + 1} of ${all.length} in ${home}.`;
      part("grip").focus();
    },
  });
  return row;
}

const CHANGES = { // what a field of the details changes
  due: (value, task) => ({ due_date: value || null, due_at: null, ...(!value && task.repeat && { repeat: null }) }),
  priority: (value) => ({ priority: value }),
  repeat: (value, task) => repeatChanges(value, task),
  tags: (value) => ({ tags: [...new Set(value.split(",").map((tag) => tag.trim()).filter(Boolean))] }),
};

function fill(row, task) {
  const part = (name) => row.querySelector(`.${name}`);
  const isPending = replica.isPending(task.uid);
  const old = row.task;
  if (old && old.version !== task.version && row.dataset.state === "saved" && !calm.matches) {
    part("line").animate([{ backgroundColor: "var(--flash)" }, {}], { duration: 1400, easing: "ease-out" });
  }
  row.task = task;
  row.dataset.state = drawConflict(row) ? "conflict" : isPending ? "waiting" : "saved";
  row.classList.toggle("completed", task.completed);
  part("check").checked = task.completed;
  part("title").textContent = task.title;
  part("facts").replaceChildren(...factsOf(task, isPending));
  part("badge").textContent = { conflict: "your choice", waiting: "waiting", saved: `v${task.version}` }[row.dataset.state];
  for (const [name, verb] of Object.entries({ check: "Done", delete: "Delete", more: "Details of", grip: "Move" })) {
    part(name).ariaLabel = `${verb}: ${task.title}`;
  }
  if (part("details").hidden) return;
  const { due, priority, repeat, tags, list, subtask, add, skip } = part("details").elements;
  const options = (select, entries) => {
    const wanted = JSON.stringify(entries);
    if (select.dataset.options !== wanted) select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
    select.dataset.options = wanted;
  };
  options(repeat, rulesFor(task));
  options(list, [["", "Inbox"], ...replica.lists().map(({ uid, name }) => [uid, name])]);
  const values = [
    [due, task.due_date ?? task.due_at?.slice(0, 10) ?? ""], [priority, task.priority], [tags, task.tags.join(", ")],
    [repeat, task.repeat ? `${task.repeat.from} ${task.repeat.rrule}` : ""], [list, task.list_id ?? ""],
  ];
  for (const [field, value] of values) if (field.value !== value && field !== document.activeElement) field.value = value;
  for (const one of [list.parentElement, subtask.parentElement, add]) one.hidden = Boolean(task.parent_id);
  skip.hidden = !task.repeat || !task.next_due || task.completed || isPending || !replica.status.online;
  skip.textContent = task.next_due ? `Skip to ${dayName(task.next_due)}` : "";
}

// ------------------------------------------------------------------------------------------------------------- actions

function complete(task, completed) {
  if (!completed) return replica.reopen(task.uid);
  replica.complete(task.uid);
  const next = task.repeat && task.next_due ? ` The next one is due ${dayName(task.next_due)}.` : "";
  toast(`Completed “${task.title}”.${next}`, { label: "Undo", action: () => replica.reopen(task.uid) });
}

function remove(row) {
  const { uid, title } = row.task;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  replica.remove(uid);
  (next?.querySelector(".title") ?? $("title")).focus({ preventScroll: true });
  toast(`Deleted “${title}”.`, { label: "Undo", action: () => replica.restore(uid) });
}

/** Edits a title in place. */
function edit(row) {
  const { uid, title } = row.task;
  const field = row.querySelector(".edit");
  row.classList.add("editing");
  field.value = title;
  field.focus();
  field.select();
  const end = (isKept) => {
    if (!row.classList.contains("editing")) return;
    const hadFocus = document.activeElement === field;
    row.classList.remove("editing");
    if (hadFocus) row.querySelector(".title").focus();
    const [mine, theirs] = [field.value.trim(), replica.task(uid)?.title];
    if (!isKept || !mine || mine === title || mine === theirs || theirs === undefined) return;
    if (theirs === title) replica.update(uid, { title: mine });
    else { // it has changed during the edit
      onConflict({ uid, field: "title", mine, theirs, base: title }, wire.post).then((value) => replica.update(uid, { title: value }));
      draw();
    }
  };
  field.onblur = () => setTimeout(() => { if (document.activeElement !== field) end(true); }); // a row that moves loses it briefly
  field.onkeydown = (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // otherwise the title, which gets the focus next, treats the key as a click
    end(event.key === "Enter");
  };
}

$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const title = $("title").value.trim();
  if (title) replica.create({ title, list_id: listNow() });
  $("title").value = "";
});

/** Shows a message for eight seconds, or as long as the pointer or the focus is on it. */
function toast(text, { isBad = false, label, action } = {}) {
  const one = $("toast").content.firstElementChild.cloneNode(true);
  const button = one.querySelector(".action");
  one.querySelector(".text").textContent = text;
  one.classList.toggle("bad", isBad);
  button.hidden = !label;
  button.textContent = label ?? "";
  button.addEventListener("click", () => { one.remove(); action(); });
  one.querySelector(".close").addEventListener("click", () => one.remove());
  while ($("toasts").children.length > 2) $("toasts").firstElementChild.remove();
  $("toasts").append(one);
  const timer = setInterval(() => {
    if (one.matches(":hover, :focus-within")) return;
    clearInterval(timer);
    one.remove();
  }, 8_000);
}

function tell(state, why = "") {
  document.body.dataset.state = state;
  $("state").textContent = { live: "Live", offline: "Offline", reconnecting: replica ? "Reconnecting" : "Connecting" }[state];
  $("state").title = why;
}

const other = user === "demo" ? "guest" : "demo";
$("user").href = `/playground?user=${other}`;
$("user").title = `Sign in as ${other}`;
$("user-name").textContent = user;
$("initial").textContent = user[0].toUpperCase();
$("device").href = `/playground?user=${encodeURIComponent(user)}&device=2`;
$("alone").hidden = !isAlone;
replica.subscribe(draw);
draw();
