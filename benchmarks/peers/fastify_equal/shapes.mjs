// A task as answers give it: compiled into a serialiser.
const text = { type: "string" };
const optional = { type: "string", nullable: true };

export const task = {
  type: "object",
  properties: {
    id: { type: "integer" },
    user_id: text,
    title: text,
    description: optional,
    completed: { type: "boolean" },
    completed_at: optional,
    priority: text,
    tags: { type: "array", items: text },
    due_date: optional,
    due_at: optional,
    created_at: text,
    updated_at: text,
    version: { type: "integer" },
  },
};
export const tasks = { type: "array", items: task };
