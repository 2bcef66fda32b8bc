-- Erase `owner`: afterwards nothing of theirs can be reached, though rows of the trash may be left for `sweep_erased`.
-- Returns whether there was such a user.
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
    -- The user begins anew: another beginning, which refuses every known position and ETag, and no counts. The revision
    -- goes on, so that ids and versions written from now on are greater than `erased`.
    UPDATE users
    SET revision = advanced, forgotten = advanced, erased = advanced, created_at = beginning, written_at = beginning,
        email = NULL, name = NULL, task_count = 0, trash_count = 0, answer_count = 0, answer_bytes = 0
    WHERE users.id = owner;
    DELETE FROM idempotency_keys WHERE idempotency_keys.user_id = owner;
    DELETE FROM tasks WHERE tasks.user_id = owner AND deleted_at IS NULL;
END
$$;
