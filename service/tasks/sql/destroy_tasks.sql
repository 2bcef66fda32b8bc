-- Remove a task from the trash of `owner` for good, or `most` tasks where `id` is NULL. Returns how many are gone. (No order
-- within: a sort would look at the whole trash for each page of it.)
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
          AND (destroy_tasks.id IS NULL OR tasks.id = destroy_tasks.id)
        LIMIT most
    ) AS found;
    IF destroyed = 0 THEN
        RETURN;
    END IF;
    DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = ANY (gone);
    -- A reader that has not seen revision `forgotten` cannot be told of these deletions any more.
    UPDATE users
    SET revision = advanced, written_at = moment, trash_count = users.trash_count - destroyed,
        forgotten = greatest(users.forgotten, newest),
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
END
$$;
