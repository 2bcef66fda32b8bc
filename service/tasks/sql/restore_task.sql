-- Restore a task of `owner` from the trash. The outcome is `done`, `missing`, or `full` if the owner already has
-- `quota` live tasks.
CREATE FUNCTION restore_task(
    owner text, owner_email text, owner_name text, id bigint, quota integer,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    live integer;
    erased bigint;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.task_count,
           users.erased
    INTO advanced, moment, live, erased
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    -- Exclude tasks that an erasure has not removed yet.
    SELECT * INTO task FROM tasks
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id AND deleted_at IS NOT NULL AND tasks.version > erased;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    ELSIF live >= quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    task.deleted_at := NULL;
    task.updated_at := moment;
    task.version := advanced;
    task.document := task_document(task);
    UPDATE tasks SET deleted_at = NULL, updated_at = moment, version = advanced, document = task.document
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment, task_count = users.task_count + 1,
        trash_count = users.trash_count - 1,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
    task_id := id;
    task_version := advanced;
    task_uid := task.uid;
    document := task.document;
END
$$;
