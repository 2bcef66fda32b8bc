// What a row says about its task: when it is due, how it repeats, its priority and its tags.

const RULES = [
  ["", "never"],
  ["schedule FREQ=DAILY", "every day"],
  ["schedule FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "every working day"],
  ["schedule FREQ=WEEKLY", "every week"],
  ["schedule FREQ=WEEKLY;INTERVAL=2", "every second week"],
  ["schedule FREQ=MONTHLY", "every month"],
  ["schedule FREQ=MONTHLY;BYMONTHDAY=-1", "on the last day of each month"],
  ["schedule FREQ=YEARLY", "every year"],
  ["completion FREQ=DAILY;INTERVAL=3", "three days after it was done"],
];

/** Returns today as "2026-12-24". */
export const today = () => new Date().toLocaleDateString("sv");

/** Returns a day or a time in words, such as "tomorrow" or "24 December". */
export function dayName(due) {
  const day = due.length > 10 ? new Date(due).toLocaleDateString("sv") : due;
  const distance = Math.round((Date.parse(day) - Date.parse(today())) / 86_400_000);
  const near = { "-1": "yesterday", 0: "today", 1: "tomorrow" }[distance];
  const format = distance > 1 && distance < 7 ? { weekday: "long" } : day.slice(0, 4) === today().slice(0, 4)
    ? { day: "numeric", month: "long" } : { day: "numeric", month: "short", year: "numeric" };
  const time = due.length > 10 ? `, ${new Date(due).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}` : "";
  return (near ?? new Date(`${day}T12:00`).toLocaleDateString("en-GB", format)) + time;
}

const valueOf = ({ from, rrule }) => `${from} ${rrule}`;

export const ruleName = (repeat) => RULES.find(([value]) => value === valueOf(repeat))?.[1] ?? repeat.rrule;

/** Returns the choices of the menu; a rule of another client is one too. */
export const rulesFor = ({ repeat }) =>
  (repeat && !RULES.some(([value]) => value === valueOf(repeat)) ? [...RULES, [valueOf(repeat), repeat.rrule]] : RULES);

/** Returns the changes for a choice of the menu. A task needs a due to repeat. */
export function repeatChanges(choice, task) {
  const [from, rrule] = choice.split(" ");
  const { timeZone: timezone } = Intl.DateTimeFormat().resolvedOptions();
  return { repeat: rrule ? { rrule, from, timezone } : null, ...(rrule && !task.due_date && !task.due_at && { due_date: today() }) };
}

/** Returns the elements below the title. `isPending`: the service has not computed the next due yet. */
export function factsOf(task, isPending) {
  const due = task.due_date ?? task.due_at;
  const isLate = due && !task.completed && (task.due_date ? due < today() : new Date(due) < new Date());
  const next = task.next_due && !task.completed && !isPending ? `, next ${dayName(task.next_due)}` : "";
  return [
    due && fact(isLate ? "due late" : "due", dayName(due)),
    task.repeat && fact("repeat", ruleName(task.repeat) + next),
    task.priority !== "none" && fact(`priority ${task.priority}`, task.priority),
    ...task.tags.map((tag) => fact("tag", tag)),
  ].filter(Boolean);
}

const fact = (className, textContent) => Object.assign(document.createElement("span"), { className, textContent });
