-- Apply the completion or reopening of `task`, which has just been written at the revision `before`, to its family:
--
-- - A completed parent completes its open subtasks at the same moment.
-- - A reopened parent reopens the subtasks that were completed at the same moment, `was`.
-- - An open subtask reopens its parent.
--
-- Each task takes a revision after `before`. Returns the last one. The caller holds the owner's lock.
CREATE FUNCTION carry_completion(
    owner text, task tasks, was timestamptz, moment timestamptz, before bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    IF task.parent_id IS NULL THEN
        UPDATE tasks
        SET completed = task.completed, completed_at = task.completed_at, updated_at = moment,
            version = before + child.place, document = NULL
        FROM (
            SELECT tasks.id, row_number() OVER (ORDER BY tasks.id) AS place FROM tasks
            WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at IS NULL
              AND tasks.completed_at IS NOT DISTINCT FROM was
        ) AS child
        WHERE tasks.user_id = owner AND tasks.id = child.id;
    ELSIF NOT task.completed THEN
        UPDATE tasks
        SET completed = false, completed_at = NULL, updated_at = moment, version = before + 1, document = NULL
        WHERE tasks.user_id = owner AND tasks.id = task.parent_id AND deleted_at IS NULL AND tasks.completed;
    END IF;
    GET DIAGNOSTICS written = ROW_COUNT;
    last := before + written;
END
$$;
