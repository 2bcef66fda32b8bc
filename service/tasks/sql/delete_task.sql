-- Move a live task of `owner` and its subtasks to the trash. The outcomes are those of `complete_task`, and `full` if the
-- trash would have more than `trash_quota` tasks.
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
    children integer := 0;
    has_family boolean;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count,
           users.has_subtasks
    INTO advanced, moment, trashed, has_family
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT tasks.id, tasks.version, tasks.uid INTO task_id, task_version, task_uid
    FROM tasks WHERE tasks.user_id = owner AND tasks.id = delete_task.id AND deleted_at IS NULL;
    IF task_id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF task_version <> ALL (expected) OR task_version = ANY (excluded) THEN
        outcome := 'mismatch';
        SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = task_id;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    IF has_family THEN
        SELECT count(*) INTO children FROM tasks
        WHERE tasks.user_id = owner AND tasks.parent_id = task_id AND deleted_at IS NULL;
    END IF;
    IF trashed + children >= trash_quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    -- `deleted_at` is the clock's time, because the purge compares it with the clock; `written_at` may be ahead of it.
    -- Reads of the trash are rare, so its tasks have no document.
    UPDATE tasks SET deleted_at = clock, updated_at = moment, version = advanced, document = NULL
    WHERE tasks.user_id = owner AND tasks.id = delete_task.id;
    IF children > 0 THEN
        UPDATE tasks
        SET deleted_at = clock, updated_at = moment, version = advanced + child.place, document = NULL,
            followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
        FROM (
            SELECT tasks.id, row_number() OVER (ORDER BY tasks.id) AS place FROM tasks
            WHERE tasks.user_id = owner AND tasks.parent_id = task_id AND deleted_at IS NULL
        ) AS child
        WHERE tasks.user_id = owner AND tasks.id = child.id;
    END IF;
    UPDATE users
    SET revision = advanced + children, written_at = moment, task_count = users.task_count - 1 - children,
        trash_count = users.trash_count + 1 + children,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
END
$$;
