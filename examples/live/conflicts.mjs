// Conflicts: fields that the user and another device have changed to different values. The tab that sends is asked about
// them. It tells the other tabs, and the user chooses in any tab.

import { dayName, ruleName } from "./facts.mjs";

const conflicts = new Map(); // by the uid of the task: its conflicts by field

/** Asks the user. Returns a promise of the value to keep. */
export function onConflict(conflict, post) {
  return new Promise((settle) => {
    add({ ...conflict, settle });
    post({ conflict });
  });
}

/** Tells a new tab of the conflicts that this tab was asked about. */
export function tellConflicts(post) {
  for (const fields of conflicts.values()) {
    for (const { settle, ...conflict } of Object.values(fields)) if (settle) post({ conflict });
  }
}

/** Handles the messages of other tabs. */
export function hearConflict({ conflict, choice }) {
  if (conflict) add(conflict);
  if (choice) choose(choice.uid, choice.side, () => {});
}

const add = (conflict) => conflicts.set(conflict.uid, { ...conflicts.get(conflict.uid), [conflict.field]: conflict });

/** Keeps one side: "mine" or "theirs". */
export function choose(uid, side, post) {
  const fields = Object.values(conflicts.get(uid) ?? {});
  conflicts.delete(uid);
  for (const one of fields) one.settle?.(one[side]);
  post({ choice: { uid, side } });
}

/** Shows the two sides in the row of a task. Returns whether there is a conflict. */
export function drawConflict(row) {
  const fields = Object.values(conflicts.get(row.task.uid) ?? {});
  row.querySelector(".choice").hidden = !fields.length;
  for (const side of ["mine", "theirs"]) {
    row.querySelector(`.${side}`).textContent = fields.map((one) => say(one.field, one[side])).join(", ");
  }
  return fields.length > 0;
}

/** Returns the value of a field in words. */
function say(field, value) {
  if (field === "completed") return value ? "done" : "not done";
  if (field === "repeat") return value ? ruleName(value) : "does not repeat";
  if (field === "priority") return `priority: ${value}`;
  if (field.startsWith("due")) return value ? `due ${dayName(value)}` : "not due";
  if (field.endsWith("_id")) return value ? "in another place" : "not in a list";
  return [value].flat().join(", ") || `no ${field}`;
}
