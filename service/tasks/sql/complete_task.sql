-- Set the completion of a live task of `owner` to `completion`, or toggle it if `completion` is NULL.
--
-- The outcome is `done`, `missing` or `mismatch` (the task's version is not in `expected` or is in `excluded`; NULL
-- accepts all versions). If the task already has this completion, the outcome is `done` and nothing is written. For
-- `done` and `mismatch`, the result includes the task in its current state. `carry_family` writes the task's family.
--
-- If the task repeats, nothing is written, and the outcome is `unplanned`: the caller calls `update_task` with a plan.
CREATE FUNCTION complete_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[], completion boolean,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    task tasks;
    was tasks;
    has_family boolean;
BEGIN
    -- Lock the owner. Later reads see the last committed write, and no other write of the owner runs until the commit.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.has_subtasks
    INTO advanced, moment, has_family
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = complete_task.id AND deleted_at IS NULL;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    task_id := id;
    task_uid := task.uid;
    IF task.version <> ALL (expected) OR task.version = ANY (excluded) THEN
        outcome := 'mismatch';
    ELSIF task.completed = completion THEN
        outcome := 'done';
    ELSIF task.recurrence IS NOT NULL THEN
        outcome := 'unplanned';
    END IF;
    IF outcome IS NOT NULL THEN
        task_version := task.version;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    IF has_family THEN
        was := task;
    END IF;
    task.completed := NOT task.completed;
    task.completed_at := CASE WHEN task.completed THEN moment END;
    task.updated_at := moment;
    task.version := advanced;
    document := task_document(task);
    UPDATE tasks
    SET completed = task.completed, completed_at = task.completed_at, updated_at = moment, version = advanced,
        document = complete_task.document
    WHERE tasks.user_id = owner AND tasks.id = complete_task.id;
    task_version := advanced;
    IF has_family THEN
        advanced := carry_family(owner, task, was, moment, advanced);
    END IF;
    UPDATE users
    SET revision = advanced, written_at = moment,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
END
$$;
