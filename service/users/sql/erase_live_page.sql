-- Permanently remove at most `most` live tasks of `owner` after the first `kept` ones. Returns how many are removed.
-- Call it until it returns 0, so that `erase_owner` has few tasks to remove and holds its lock for a short time.
CREATE FUNCTION erase_live_page(owner text, kept integer, most integer, OUT gone bigint) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    removed bigint[];
    newest bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM users WHERE users.id = owner AND users.task_count > kept) THEN
        gone := 0;  -- the usual case; it does not need the lock, so an erasure waits for the lock only once
        RETURN;
    END IF;
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond') INTO advanced, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT array_agg(found.id), max(found.version), count(*) INTO removed, newest, gone
    FROM (
        SELECT tasks.id, tasks.version FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NULL
        ORDER BY tasks.id LIMIT most OFFSET kept
    ) AS found;
    IF gone = 0 THEN
        RETURN;
    END IF;
    DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = ANY (removed);
    UPDATE users
    SET revision = advanced, written_at = moment, task_count = users.task_count - gone,
        forgotten = greatest(users.forgotten, newest)
    WHERE users.id = owner;
END
$$;
