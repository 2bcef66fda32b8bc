-- Erase `owner`. Afterwards all data of the owner is unreachable; `sweep_erased` removes the rows of the trash. Returns
-- whether the user existed.
CREATE FUNCTION erase_owner(owner text, OUT existed boolean) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    beginning timestamptz;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.created_at + interval '1 microsecond') INTO advanced, beginning
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    existed := advanced IS NOT NULL;
    IF NOT existed THEN
        RETURN;
    END IF;
    -- The user gets a new beginning, which invalidates all known positions and ETags, and all counts become 0. The
    -- revision continues, so that the ids and versions of later writes are greater than `erased`.
    UPDATE users
    SET revision = advanced, forgotten = advanced, erased = advanced, created_at = beginning, written_at = beginning,
        email = NULL, name = NULL, task_count = 0, trash_count = 0, list_count = 0,
        has_subtasks = false, answer_count = 0, answer_bytes = 0
    WHERE users.id = owner;
    DELETE FROM idempotency_keys WHERE idempotency_keys.user_id = owner;
    DELETE FROM tasks WHERE tasks.user_id = owner AND deleted_at IS NULL;
    DELETE FROM lists WHERE lists.user_id = owner;
END
$$;
