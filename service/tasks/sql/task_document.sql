-- Build the JSON of a live task for responses. Only this function defines its members and their order.
--
-- Writes store the JSON in `tasks.document`. Reads build it only if that column is NULL. `service.database.functions`
-- copies the expression of this function into the reads and replaces the argument with the table. A migration that adds
-- a member replaces this function, and drops and adds the column, which rewrites no row.
--
-- This function must remain a single expression, so that PostgreSQL inlines it.
CREATE FUNCTION task_document(task tasks) RETURNS text LANGUAGE sql STABLE AS $$
SELECT left(json_build_object(
    'id', task.id,
    'uid', task.uid,
    'user_id', task.user_id,
    'title', task.title,
    'description', task.description,
    'completed', task.completed,
    'completed_at', to_char(task.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'priority', (ARRAY['none', 'low', 'medium', 'high'])[task.priority + 1],
    'tags', task.tags,
    'due_date', task.due_date,
    'due_at', to_char(task.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'list_id', task.list_id,
    'parent_id', task.parent_id,
    'position', coalesce(task.position, position_of_id(task.id)),
    'created_at', to_char(task.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'updated_at', to_char(task.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'version', task.version
)::text, -1) || coalesce(
    ', ' || substr(task.recurrence, 2),
    ', "repeat" : null, "series" : null, "occurrence" : null, "next_due" : null}'
)
$$;
