-- Prepare a new task of `owner` that has a chosen uid, a list, a parent, a place or a repetition, for `create_task`, which describes
-- the arguments and the outcomes. The outcome is NULL if the task can be created. `seated` has its list, parent and
-- position, or is the task that has the uid already.
--
-- It is not a part of `create_task` because of the length: if a function with its arguments needs more than 2 kB,
-- PostgreSQL compresses the names of the arguments too, and decompresses them in each call.
CREATE FUNCTION seat_new_task(
    owner text, owner_email text, owner_name text, quota integer, uid uuid, is_named boolean, seat text[],
    OUT outcome text, OUT seated tasks
) LANGUAGE plpgsql AS $$
DECLARE
    owned users;
    seating record;
BEGIN
    -- The lock comes first, so that one of several requests with the same uid creates the task.
    owned := lock_owner(owner, owner_email, owner_name);
    IF is_named THEN
        SELECT * INTO seated FROM tasks WHERE tasks.user_id = owner AND tasks.uid = seat_new_task.uid;
        IF seated.version > owned.erased THEN
            outcome := CASE WHEN seated.deleted_at IS NULL THEN 'known' ELSE 'in_trash' END;
            RETURN;
        ELSIF seated.id IS NOT NULL THEN  -- an erasure has not removed it yet
            DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.id = seated.id;
            seated := NULL;
        END IF;
    END IF;
    IF owned.task_count >= quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    seating := seat_task(owner, seated, seat[1], seat[2], seat[3], seat[4]);
    outcome := seating.outcome;
    seated := seating.seated;
    seated.recurrence := seat[6];
END
$$;
