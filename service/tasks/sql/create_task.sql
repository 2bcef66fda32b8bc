-- Create a task of `owner`. The outcome is `done`, `full` (the owner already has `quota` live tasks), or an outcome of
-- `seat_task`. `seat` has the last four arguments of that function, an unused element, and `tasks.recurrence`; it may be
-- shorter or NULL. If the client chose the `uid` (`is_named`), the outcome is `known` if a live task has it already, with
-- that task as the result, and `in_trash` if a deleted task has it.
CREATE FUNCTION create_task(
    owner text, owner_email text, owner_name text, quota integer, uid uuid,
    title text, title_key text, description text, description_key text, completed boolean, priority smallint,
    tags text[], tag_keys text[], due_date text, due_at text,
    is_named boolean, seat text[],
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := now();
    owned users;
    task tasks;
    seating record;
    last bigint;
BEGIN
    IF is_named OR seat IS NOT NULL THEN
        seating := seat_new_task(owner, owner_email, owner_name, quota, uid, is_named, seat);
        task := seating.seated;
        IF seating.outcome IS NOT NULL THEN
            outcome := seating.outcome;
            IF task.id IS NOT NULL THEN
                task_id := task.id;
                task_version := task.version;
                task_uid := task.uid;
                document := coalesce(task.document, task_document(task));
            END IF;
            RETURN;
        END IF;
    END IF;
    LOOP
        -- Advance the owner's revision. The row stays locked until the commit, so revisions become visible in order,
        -- and no other transaction can change the count that is compared with the quota. (In an UPDATE, Citus allows
        -- only immutable expressions of columns. AT TIME ZONE twice is immutable; timestamptz + interval is not.)
        UPDATE users
        SET revision = users.revision + 1, task_count = users.task_count + 1,
            written_at = greatest(
                moment, (users.written_at AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC'),
            email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
        WHERE users.id = owner AND users.task_count < quota
        RETURNING users.revision, users.written_at INTO task.id, task.created_at;
        EXIT WHEN FOUND;
        -- The first write creates the owner's row from the claims of the token.
        owned := lock_owner(owner, owner_email, owner_name);
        IF owned.task_count >= quota THEN
            outcome := 'full';
            RETURN;
        END IF;
    END LOOP;
    task.user_id := owner;
    task.uid := uid;
    task.title := title;
    task.description := description;
    task.completed := completed;
    IF completed THEN
        task.completed_at := task.created_at;
    END IF;
    task.priority := priority;
    task.tags := tags;
    -- PostgreSQL would convert NULL too, so these conditions save 2 thousand instructions.
    IF due_date IS NOT NULL THEN
        task.due_date := due_date;
    END IF;
    IF due_at IS NOT NULL THEN
        task.due_at := due_at;
    END IF;
    task.updated_at := task.created_at;
    task.version := task.id;
    document := task_document(task);
    -- Name the columns: during an upgrade this function may run after a later release has added a column.
    INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                       priority, tags, tag_keys, due_date, due_at, list_id, parent_id, position, created_at,
                       updated_at, version, recurrence, document)
    VALUES (owner, task.id, task.uid, task.title, title_key, task.description, description_key,
            task.completed, task.completed_at, task.priority, task.tags, tag_keys, task.due_date, task.due_at,
            task.list_id, task.parent_id, task.position, task.created_at, task.updated_at, task.version,
            task.recurrence, document);
    IF task.parent_id IS NOT NULL THEN
        last := carry_family(owner, task, NULL, task.created_at, task.id);
        UPDATE users SET revision = last, has_subtasks = true WHERE users.id = owner;
    END IF;
    outcome := 'done';
    task_id := task.id;
    task_version := task.id;
    task_uid := task.uid;
END
$$;
