-- Write list, parent, position and recurrence of `task`, for an `update_task` that sets `completed` (NULL leaves it) and
-- changes the due if it `moves`. The result `arranged` is the task with them; the caller writes its other columns and its
-- version. `owner` is the owner, who is locked. The first four elements of `seat` are the last arguments of `seat_task`.
-- Then follows a plan (see `service.tasks.plans`), which a write of the completion, the due or the recurrence of a
-- repeating task needs:
--
-- -  5: the version of the task from which the plan was computed
-- -  6: `tasks.recurrence` after the write; '' for none; NULL leaves it unchanged; 'refused' if no plan is possible
-- -  7 to 14: the uid of the successor, and the rest of the arguments of `find_successor` and `write_successor`, or NULL
--
-- The outcome is NULL, or one of `seat_task` or `find_successor`; or, with the task as it is, `unplanned` (there is no
-- plan for this version) or `refused`. If it is NULL, the write takes the revision `advanced` at the time `moment`.
--
-- It is not a part of `update_task` because of the length (see `seat_new_task`), and because each column in an UPDATE costs
-- 2 thousand instructions, and most writes do not change these four.
CREATE FUNCTION arrange_task(
    owner text, task tasks, seat text[], completed boolean, moves boolean,
    OUT outcome text, OUT task_version bigint, OUT document text, OUT arranged tasks, OUT advanced bigint,
    OUT moment timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    seating record;
BEGIN
    IF seat[5]::bigint IS DISTINCT FROM task.version
       AND (seat[5] IS NOT NULL OR task.recurrence IS NOT NULL AND (completed <> task.completed OR moves)) THEN
        outcome := 'unplanned';
    ELSIF seat[6] = 'refused' THEN
        outcome := 'refused';
    END IF;
    IF outcome IS NOT NULL THEN
        task_version := task.version;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    IF seat[7] IS NOT NULL THEN
        SELECT found.outcome, found.task_version, found.document INTO outcome, task_version, document
        FROM find_successor(owner, task, seat) AS found;
        IF outcome IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    seating := seat_task(owner, task, seat[1], seat[2], seat[3], seat[4]);
    outcome := seating.outcome;
    arranged := seating.seated;
    arranged.recurrence := CASE WHEN seat[6] IS NULL THEN task.recurrence ELSE nullif(seat[6], '') END;
    IF outcome IS NULL AND arranged IS DISTINCT FROM task THEN
        UPDATE tasks
        SET list_id = arranged.list_id, parent_id = arranged.parent_id, position = arranged.position,
            recurrence = arranged.recurrence
        WHERE tasks.user_id = owner AND tasks.id = task.id;
        UPDATE users SET has_subtasks = true
        WHERE users.id = owner AND arranged.parent_id IS NOT NULL AND NOT users.has_subtasks;
    END IF;
    -- New positions of the siblings have taken revisions.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond') INTO advanced, moment
    FROM users WHERE users.id = owner;
END
$$;
