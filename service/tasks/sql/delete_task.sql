-- Move a live task of `owner` to the trash. The outcomes are those of `complete_task`, and `full` if the trash already
-- has `trash_quota` tasks.
CREATE FUNCTION delete_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    trash_quota integer,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    advanced bigint;
    moment timestamptz;
    trashed integer;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count
    INTO advanced, moment, trashed
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = delete_task.id AND deleted_at IS NULL;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    task_id := id;
    task_uid := task.uid;
    task_version := task.version;
    IF task.version <> ALL (expected) OR task.version = ANY (excluded) THEN
        outcome := 'mismatch';
        document := coalesce(task.document, task_document(task));
        RETURN;
    ELSIF trashed >= trash_quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    -- `deleted_at` is the clock's time, because the purge compares it with the clock; `written_at` may be ahead of it.
    -- Reads of the trash are rare, so its tasks have no document.
    UPDATE tasks SET deleted_at = clock, updated_at = moment, version = advanced, document = NULL
    WHERE tasks.user_id = owner AND tasks.id = delete_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment, task_count = users.task_count - 1,
        trash_count = users.trash_count + 1,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
END
$$;
