-- Return `task_document` of a live task with these columns. `service.database.functions` passes the columns of the table
-- by the names of the arguments.
--
-- Reads call it, because PostgreSQL prepares an inlined expression anew in each execution, even if the task has a stored
-- document and the expression is never computed. The arguments are columns, because Citus has no whole row of a table.
CREATE FUNCTION build_document(
    id bigint, uid uuid, user_id text, title text, description text, completed boolean, completed_at timestamptz,
    priority smallint, tags text[], due_date date, due_at timestamptz, list_id bigint, parent_id bigint, "position" text,
    created_at timestamptz, updated_at timestamptz, version bigint, recurrence text
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    task tasks;
BEGIN
    task.id := build_document.id;
    task.uid := build_document.uid;
    task.user_id := build_document.user_id;
    task.title := build_document.title;
    task.description := build_document.description;
    task.completed := build_document.completed;
    task.completed_at := build_document.completed_at;
    task.priority := build_document.priority;
    task.tags := build_document.tags;
    task.due_date := build_document.due_date;
    task.due_at := build_document.due_at;
    task.list_id := build_document.list_id;
    task.parent_id := build_document.parent_id;
    task.position := build_document."position";
    task.created_at := build_document.created_at;
    task.updated_at := build_document.updated_at;
    task.version := build_document.version;
    task.recurrence := build_document.recurrence;
    RETURN task_document(task);
END
$$;
