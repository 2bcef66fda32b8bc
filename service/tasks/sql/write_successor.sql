-- Create the successor of `task`, a repeating task of `owner`, after the write that completed it at `moment` and at the
-- revision `before`; or take it back after the write that reopened the task. `find_successor` has allowed that, and
-- describes `plan`. Each written task takes a revision after `before`. Returns the last one.
--
-- The successor is a copy of the task, with its own due and open subtasks. If the trash has a task with its uid, which was
-- taken back or deleted, the copies replace that task and the subtasks that were deleted with it, and have their ids and
-- uids, so that repeated undoing fills no trash. The copy of a subtask that repeats begins a series of its own, so that no
-- two tasks have the same slot of a series.
CREATE FUNCTION write_successor(
    owner text, task tasks, plan text[], moment timestamptz, before bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    days CONSTANT integer := plan[13];
    seconds CONSTANT double precision := plan[14];
    former tasks;
    made tasks;
    ids bigint[];  -- of the family in the trash, the successor first
    uids uuid[];
    written integer := 0;
BEGIN
    last := before;
    SELECT * INTO former FROM tasks WHERE tasks.user_id = owner AND tasks.uid = plan[7]::uuid;
    IF NOT task.completed THEN
        IF former.id IS NULL OR former.deleted_at IS NOT NULL THEN
            RETURN;
        END IF;
        UPDATE tasks
        SET deleted_at = clock, updated_at = moment, version = before + member.place, document = NULL
        FROM (
            SELECT tasks.id, row_number() OVER (ORDER BY tasks.id <> former.id, tasks.id) AS place FROM tasks
            WHERE tasks.user_id = owner AND (tasks.id = former.id OR tasks.parent_id = former.id)
              AND deleted_at IS NULL
        ) AS member
        WHERE tasks.user_id = owner AND tasks.id = member.id;
        GET DIAGNOSTICS written = ROW_COUNT;
        last := before + written;
        UPDATE users SET task_count = users.task_count - written, trash_count = users.trash_count + written
        WHERE users.id = owner;
        RETURN;
    ELSIF former.id IS NOT NULL AND former.deleted_at IS NULL THEN
        RETURN;  -- a client created it with its uid
    ELSIF former.id IS NOT NULL THEN
        SELECT array_agg(tasks.id ORDER BY tasks.id <> former.id, tasks.id),
               array_agg(tasks.uid ORDER BY tasks.id <> former.id, tasks.id)
        INTO ids, uids FROM tasks
        WHERE tasks.user_id = owner AND (tasks.id = former.id OR (  -- as in `restore_task`
            tasks.parent_id = former.id AND deleted_at = former.deleted_at AND tasks.version > former.version));
    END IF;
    -- The task itself is first. Completed tasks of the series of a repeating subtask are history, so they are not copied.
    FOR made IN
        SELECT * FROM tasks
        WHERE tasks.user_id = owner AND (tasks.id = task.id OR tasks.parent_id = task.id) AND deleted_at IS NULL
          AND (recurrence IS NULL OR completed_at = task.completed_at)
        ORDER BY tasks.id <> task.id, tasks.id
    LOOP
        last := last + 1;
        written := written + 1;
        made.position := coalesce(made.position, position_of_id(made.id));
        made.id := coalesce(ids[written], last);
        IF ids[written] IS NOT NULL THEN
            DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = made.id;
        END IF;
        IF written = 1 THEN
            made.uid := plan[7];
            made.due_date := plan[8];
            made.due_at := plan[9];
            made.recurrence := plan[10];
            former.id := made.id;
        ELSE
            made.uid := coalesce(uids[written], gen_random_uuid());
            made.parent_id := former.id;
            made.recurrence := regexp_replace(
                made.recurrence, '"series":"[^"]*"', '"series":"' || gen_random_uuid() || '"');
            IF made.recurrence IS NULL AND made.due_date IS NOT NULL THEN
                made.due_date := least(made.due_date + days, '9999-12-31');
            ELSIF made.recurrence IS NULL AND made.due_at IS NOT NULL THEN
                made.due_at := least(made.due_at + make_interval(secs => seconds), '9999-12-31T23:59:59.999999Z');
            END IF;
        END IF;
        made.completed := false;
        made.completed_at := NULL;
        made.created_at := moment;
        made.updated_at := moment;
        made.version := last;
        made.document := task_document(made);
        -- Name the columns: during an upgrade this function may run after a later release has added a column.
        INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                           priority, tags, tag_keys, due_date, due_at, list_id, parent_id, position, created_at,
                           updated_at, version, recurrence, document)
        VALUES (owner, made.id, made.uid, made.title, made.title_key, made.description, made.description_key,
                made.completed, made.completed_at, made.priority, made.tags, made.tag_keys, made.due_date, made.due_at,
                made.list_id, made.parent_id, made.position, made.created_at, made.updated_at, made.version,
                made.recurrence, made.document);
    END LOOP;
    IF task.parent_id IS NOT NULL THEN  -- the task may have been moved below a completed one
        SELECT * INTO made FROM tasks WHERE tasks.user_id = owner AND tasks.id = former.id;
        last := carry_family(owner, made, NULL, moment, last);
    END IF;
    UPDATE users SET task_count = users.task_count + written WHERE users.id = owner;
    IF ids IS NOT NULL THEN
        UPDATE users SET trash_count = users.trash_count - least(written, cardinality(ids)) WHERE users.id = owner;
    END IF;
END
$$;
