-- Apply a write of `task`, which has just been written at the revision `before`, to its family. `was` is the task before
-- the write; NULL if it is new.
--
-- - A completed parent completes its open subtasks at the same moment.
-- - A reopened parent reopens the subtasks that were completed at the same moment.
-- - An open subtask reopens its parent. If the parent repeats, it leaves its series, because the successor continues it.
-- - The subtasks follow their parent to another list.
--
-- `followed_at` is the `updated_at` of a task that has only followed others since its creation; see `find_successor`.
--
-- Each task takes a revision after `before`. Returns the last one. The caller holds the owner's lock.
CREATE FUNCTION carry_family(
    owner text, task tasks, was tasks, moment timestamptz, before bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    IF task.parent_id IS NULL THEN
        UPDATE tasks
        SET completed = CASE WHEN child.turns THEN task.completed ELSE tasks.completed END,
            completed_at = CASE WHEN child.turns THEN task.completed_at ELSE tasks.completed_at END,
            list_id = task.list_id, updated_at = moment, version = before + child.place, document = NULL,
            followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
        FROM (
            SELECT found.id, found.turns, row_number() OVER (ORDER BY found.id) AS place
            FROM (
                SELECT tasks.id, tasks.list_id, task.completed <> was.completed
                    AND tasks.completed_at IS NOT DISTINCT FROM was.completed_at AS turns
                FROM tasks WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at IS NULL
            ) AS found
            WHERE found.turns OR found.list_id IS DISTINCT FROM task.list_id
        ) AS child
        WHERE tasks.user_id = owner AND tasks.id = child.id;
    ELSIF NOT task.completed THEN
        UPDATE tasks
        SET completed = false, completed_at = NULL, recurrence = NULL, updated_at = moment, version = before + 1, document = NULL
        WHERE tasks.user_id = owner AND tasks.id = task.parent_id AND deleted_at IS NULL AND tasks.completed;
    END IF;
    GET DIAGNOSTICS written = ROW_COUNT;
    last := before + written;
END
$$;
