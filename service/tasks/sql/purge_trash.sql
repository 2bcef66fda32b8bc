-- Permanently remove at most `most` tasks that have been in the trash of `owner` for longer than `older_than`. Returns
-- the number of removed tasks. The owner did not request this write, so the revision stays the same.
CREATE FUNCTION purge_trash(owner text, older_than interval, most integer, OUT purged bigint) LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := now() - older_than;
    erased bigint;
    gone bigint[];
    newest bigint;
BEGIN
    SELECT users.erased INTO erased FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT array_agg(found.id), max(found.version), count(*) INTO gone, newest, purged
    FROM (
        SELECT tasks.id, tasks.version FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NOT NULL AND deleted_at < since AND tasks.version > erased
        LIMIT most
    ) AS found;
    IF purged = 0 THEN
        RETURN;
    END IF;
    DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = ANY (gone);
    UPDATE users
    SET trash_count = users.trash_count - purged, forgotten = greatest(users.forgotten, newest)
    WHERE users.id = owner;
END
$$;
