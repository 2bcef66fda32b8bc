-- Lock the row of `owner` until the commit, and return it; make it first where there is none. A part of the functions that
-- write for a user who may be new.
CREATE FUNCTION lock_owner(owner text, owner_email text, owner_name text, OUT owned users) LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        SELECT * INTO owned FROM users WHERE users.id = owner FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- Of two first writes one inserts, the other waits. The row may also vanish again, by an erasure.
        INSERT INTO users (id, email, name, created_at, written_at, revision, task_count)
        VALUES (owner, owner_email, owner_name, now(), '-infinity', 0, 0)
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$$;
