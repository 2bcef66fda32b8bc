-- Check whether a write may complete or reopen `task`, a repeating task of `owner`, who is locked. The arguments in `plan`
-- are, by place:
--
-- -  7: the uid of the successor, which follows from the series and the slot
-- -  8, 9, 10: the due date, the due time and the `recurrence` of the successor
-- - 11, 12: the maximum number of live tasks, and of tasks and lists in the trash
-- - 13, 14: the days, and the seconds, by which the due of the subtasks moves
--
-- The outcome is NULL; `full` or `trash_full`, if the successor does not fit; or `touched`, if the task would be reopened
-- and the successor is not as it was created: it or one of its subtasks has changed, a subtask has left or joined it, the
-- client created it, or the same write (`plan[2]`) makes the task its subtask. Then the result has the successor.
--
-- A task that has only followed others has not changed: the siblings got new positions, the parent or the list was moved,
-- deleted or restored. The writes that do this set `followed_at` to `updated_at`, unless the task has changed before.
CREATE FUNCTION find_successor(
    owner text, task tasks, plan text[], OUT outcome text, OUT task_version bigint, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    series CONSTANT text := '"series":"([^"]*)"';
    owned users;
    successor tasks;
    children integer;
BEGIN
    SELECT * INTO owned FROM users WHERE users.id = owner;
    SELECT * INTO successor FROM tasks WHERE tasks.user_id = owner AND tasks.uid = plan[7]::uuid;
    IF successor.version <= owned.erased THEN  -- an erasure has not removed it yet
        DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = successor.id;
        successor := NULL;
    END IF;
    IF task.completed THEN
        IF successor.id IS NULL OR successor.deleted_at IS NOT NULL THEN
            RETURN;
        ELSIF successor.completed OR successor.updated_at > greatest(successor.followed_at, successor.created_at)
           OR EXISTS (
            SELECT FROM tasks
            WHERE tasks.user_id = owner AND tasks.parent_id = successor.id
              AND (tasks.updated_at > greatest(tasks.followed_at, successor.created_at)
                   OR deleted_at IS NULL AND tasks.created_at <> successor.created_at)
        ) OR owned.has_subtasks AND task.created_at < successor.created_at AND EXISTS (  -- a copied subtask has left
            SELECT FROM tasks
            WHERE tasks.user_id = owner AND tasks.id > successor.id AND tasks.created_at = successor.created_at
              AND tasks.parent_id IS DISTINCT FROM successor.id
        ) OR substring(successor.recurrence FROM series) IS DISTINCT FROM substring(task.recurrence FROM series)
          OR (nullif(plan[2], 'none') IS NOT NULL AND (find_task(owner, plan[2])).id = successor.id) THEN
            outcome := 'touched';
            task_version := successor.version;
            document := coalesce(successor.document, task_document(successor));
            RETURN;
        END IF;
        SELECT count(*) INTO children FROM tasks
        WHERE tasks.user_id = owner AND tasks.parent_id = successor.id AND deleted_at IS NULL;
        IF owned.trash_count + 1 + children > plan[12]::integer THEN
            outcome := 'trash_full';
        END IF;
    ELSIF successor.id IS NULL OR successor.deleted_at IS NOT NULL THEN
        SELECT count(*) INTO children FROM tasks
        WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at IS NULL
          AND (recurrence IS NULL OR NOT completed);
        IF owned.task_count + 1 + children > plan[11]::integer THEN
            outcome := 'full';
        END IF;
    END IF;
END
$$;
