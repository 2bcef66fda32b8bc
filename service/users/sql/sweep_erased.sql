-- Remove at most `most` tasks that the erasure of `owner` has left. Returns how many it removed. If none was left, also
-- remove the owner's row, unless the user has written since the erasure.
CREATE FUNCTION sweep_erased(owner text, most integer, OUT gone bigint) LANGUAGE plpgsql AS $$
DECLARE
    erased bigint;
    current bigint;
    removed bigint[];
BEGIN
    SELECT users.erased, users.revision INTO erased, current FROM users WHERE users.id = owner FOR UPDATE;
    IF coalesce(erased, 0) = 0 THEN
        gone := 0;
        RETURN;
    END IF;
    SELECT array_agg(found.id), count(*) INTO removed, gone
    FROM (SELECT tasks.id FROM tasks WHERE tasks.user_id = owner AND tasks.version <= erased LIMIT most) AS found;
    IF gone > 0 THEN
        DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = ANY (removed);
    ELSIF current = erased THEN
        DELETE FROM users WHERE users.id = owner;
    ELSE
        UPDATE users SET erased = 0 WHERE users.id = owner;
    END IF;
END
$$;
