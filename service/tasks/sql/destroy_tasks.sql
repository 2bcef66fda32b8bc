-- Permanently remove the task `id` from the trash of `owner`, with the subtasks that were deleted together with it; if
-- `id` is NULL, at most `most` tasks of the trash. Returns the number of removed tasks. (They have no order: a sort would
-- read the whole trash for each page.)
CREATE FUNCTION destroy_tasks(
    owner text, owner_email text, owner_name text, id bigint, most integer, OUT destroyed bigint
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    erased bigint;
    gone bigint[];
    newest bigint;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.erased
    INTO advanced, moment, erased
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT array_agg(found.id), max(found.version), count(*) INTO gone, newest, destroyed
    FROM (
        SELECT tasks.id, tasks.version FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NOT NULL AND tasks.version > erased
          AND (destroy_tasks.id IS NULL OR tasks.id = destroy_tasks.id OR (
              tasks.parent_id = destroy_tasks.id AND EXISTS (  -- as in `restore_task`
                  SELECT FROM tasks AS parent
                  WHERE parent.user_id = owner AND parent.id = destroy_tasks.id
                    AND parent.deleted_at = tasks.deleted_at AND parent.version < tasks.version)))
        LIMIT CASE WHEN destroy_tasks.id IS NULL THEN most END
    ) AS found;
    IF destroyed = 0 THEN
        RETURN;
    END IF;
    DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = ANY (gone);
    -- The change feed can no longer report these deletions to a reader before the revision `forgotten`.
    UPDATE users
    SET revision = advanced, written_at = moment, trash_count = users.trash_count - destroyed,
        forgotten = greatest(users.forgotten, newest),
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
END
$$;
