-- Remove live tasks of `owner` for good, `most` at a time, beyond the first `kept`; returns how many are gone. It leaves so
-- few that `erase_owner` is short.
CREATE FUNCTION erase_live_page(owner text, kept integer, most integer, OUT gone bigint) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    removed bigint[];
    newest bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM users WHERE users.id = owner AND users.task_count > kept) THEN
        gone := 0;  -- the usual case, in which an erasure waits for the lock only once
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
