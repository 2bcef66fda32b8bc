-- Lock the row of `owner` until the end of the transaction, and return it. Insert the row first if it does not exist.
-- The functions that may write for a new user call this one.
CREATE FUNCTION lock_owner(owner text, owner_email text, owner_name text, OUT owned users) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        SELECT * INTO owned FROM users WHERE users.id = owner FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- If two first writes run at the same time, one inserts and the other waits. An erasure may remove the row
        -- before the next SELECT, so the loop tries again.
        INSERT INTO users (id, email, name, created_at, written_at, revision, task_count)
        VALUES (owner, owner_email, owner_name, now(), '-infinity', 0, 0)
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$$;
