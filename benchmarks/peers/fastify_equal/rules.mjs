// What clients may send of a task: a schema for the types, and a function for what a schema cannot say.
export const PRIORITIES = ["none", "low", "medium", "high"];
const VISIBLE = /[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff]/;

const anything = {};
const readOnly = { id: anything, user_id: anything, created_at: anything, updated_at: anything, completed_at: anything, version: anything };
const ifVersion = { if_version: { type: "integer", minimum: 1 } };
const fields = {
  title: { type: "string" },
  description: { type: ["string", "null"] },
  completed: { type: "boolean" },
  priority: { enum: [...PRIORITIES, null] },
  tags: { type: ["array", "null"], maxItems: 20, items: { type: "string" } },
  due_date: { type: ["string", "null"], format: "date" },
  due_at: { type: ["string", "null"], format: "date-time" },
};
const object = (properties, required = []) => ({ type: "object", properties: { ...properties, ...readOnly }, required, additionalProperties: false });

export const draft = object(fields, ["title"]);
export const patch = object({ ...fields, ...ifVersion });
// A body may be left out here, which Fastify takes for null.
export const completion = { ...object({ completed: fields.completed, ...ifVersion }), type: ["object", "null"] };
export const deletion = { ...object(ifVersion), type: ["object", "null"] };

export const problemsOf = (error) =>
  error.validation.map(({ instancePath, params, message }) => ({
    field: instancePath.slice(1) || params.missingProperty || params.additionalProperty || "body",
    message,
  }));

// Code points count, as in PostgreSQL; most texts are shorter than the rule in any count.
const isLonger = (text, most) => text.length > most && [...text].length > most;

// The columns of what was sent, trimmed; a field that was left out has none. Throws `Problem`.
export const cleanTask = (sent, Problem) => {
  const columns = {};
  const errors = [];
  const refuse = (field, message) => errors.push({ field, message });
  if (sent.title !== undefined) {
    columns.title = sent.title.trim();
    if (isLonger(columns.title, 200) || !VISIBLE.test(columns.title) || columns.title.includes("\0")) {
      refuse("title", "1 to 200 characters, one of them visible");
    }
  }
  if (sent.description !== undefined) {
    const text = (sent.description ?? "").trim();
    if (isLonger(text, 1000) || text.includes("\0")) refuse("description", "at most 1,000 characters");
    columns.description = VISIBLE.test(text) ? text : null;
  }
  if (sent.completed !== undefined) columns.completed = sent.completed;
  if (sent.priority !== undefined) columns.priority = PRIORITIES.indexOf(sent.priority ?? "none");
  if (sent.tags !== undefined) {
    const found = new Map();
    for (const tag of sent.tags ?? []) {
      const text = tag.trim();
      if (isLonger(text, 50) || !VISIBLE.test(text) || text.includes("\0")) refuse("tags", "tags of 1 to 50 characters");
      const key = text.normalize("NFC").toLowerCase();
      if (!found.has(key)) found.set(key, text);
    }
    columns.tags = [...found.values()];
  }
  if (sent.due_date !== undefined) columns.due_date = sent.due_date;
  if (sent.due_at !== undefined) columns.due_at = sent.due_at;
  if (columns.due_date != null && columns.due_at != null) refuse("due_at", "cannot be set together with due_date");
  if (errors.length) throw new Problem(422, "The request breaks a rule.", { errors });
  return columns;
};
