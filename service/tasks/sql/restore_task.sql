-- Restore a task of `owner` from the trash, with the subtasks that were deleted together with it. A subtask that is
-- restored alone becomes a top-level task. If the task's list is no longer there, the task is restored to the inbox.
--
-- The outcome is `done`, `missing`, or `full` if the owner would have more than `quota` live tasks.
CREATE FUNCTION restore_task(
    owner text, owner_email text, owner_name text, id bigint, quota integer,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    live integer;
    erased bigint;
    children integer := 0;
    has_family boolean;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.task_count,
           users.erased, users.has_subtasks
    INTO advanced, moment, live, erased, has_family
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    -- Exclude tasks that an erasure has not removed yet.
    SELECT * INTO task FROM tasks
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id AND deleted_at IS NOT NULL AND tasks.version > erased;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    -- A deletion gives all its tasks one time, and the subtasks later versions than their parent. An earlier deletion in
    -- the same batch has the same time.
    IF has_family AND task.parent_id IS NULL THEN
        SELECT count(*) INTO children FROM tasks
        WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at = task.deleted_at
          AND tasks.version > task.version;
    END IF;
    IF live + children >= quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    IF task.list_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM lists WHERE lists.user_id = owner AND lists.id = task.list_id AND deleted_at IS NULL
    ) THEN
        task.list_id := NULL;
    END IF;
    IF children > 0 THEN
        UPDATE tasks
        SET deleted_at = NULL, list_id = task.list_id, updated_at = moment, version = advanced + child.place,
            followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
        FROM (
            SELECT tasks.id, row_number() OVER (ORDER BY tasks.id) AS place FROM tasks
            WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at = task.deleted_at
              AND tasks.version > task.version
        ) AS child
        WHERE tasks.user_id = owner AND tasks.id = child.id;
    END IF;
    task.parent_id := NULL;
    task.deleted_at := NULL;
    task.updated_at := moment;
    task.version := advanced;
    task.document := task_document(task);
    UPDATE tasks
    SET deleted_at = NULL, list_id = task.list_id, parent_id = NULL, updated_at = moment, version = advanced,
        document = task.document
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id;
    UPDATE users
    SET revision = advanced + children, written_at = moment, task_count = users.task_count + 1 + children,
        trash_count = users.trash_count - 1 - children,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
    task_id := id;
    task_version := advanced;
    task_uid := task.uid;
    document := task.document;
END
$$;
