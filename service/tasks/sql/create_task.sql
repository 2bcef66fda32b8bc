-- Create a task of `owner`. The outcome is `done`, or `full` when there are `quota` live tasks already.
CREATE FUNCTION create_task(
    owner text, owner_email text, owner_name text, quota integer, uid uuid,
    title text, title_key text, description text, description_key text, completed boolean, priority smallint,
    tags text[], tag_keys text[], due_date text, due_at text,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := now();
    owned users;
    task tasks;
BEGIN
    LOOP
        -- Advance the owner. The row stays locked until the commit, so revisions become visible in order, and the quota
        -- is decided on a count that nobody else can change meanwhile. (AT TIME ZONE twice is immutable, as Citus asks
        -- of what an UPDATE computes from columns; timestamptz + interval is not.)
        UPDATE users
        SET revision = users.revision + 1, task_count = users.task_count + 1,
            written_at = greatest(
                moment, (users.written_at AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC'),
            email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
        WHERE users.id = owner AND users.task_count < quota
        RETURNING users.revision, users.written_at INTO task.id, task.created_at;
        EXIT WHEN FOUND;
        -- The first write makes the owner's row of the token's claims.
        owned := lock_owner(owner, owner_email, owner_name);
        IF owned.task_count >= quota THEN
            outcome := 'full';
            RETURN;
        END IF;
    END LOOP;
    task.user_id := owner;
    task.uid := uid;
    task.title := title;
    task.title_key := title_key;
    task.description := description;
    task.description_key := description_key;
    task.completed := completed;
    task.completed_at := CASE WHEN completed THEN task.created_at END;
    task.priority := priority;
    task.tags := tags;
    task.tag_keys := tag_keys;
    task.due_date := due_date;
    task.due_at := due_at;
    task.updated_at := task.created_at;
    task.version := task.id;
    task.document := task_document(task);
    -- Name the columns: a later release may add one with a default, while this function is still called.
    INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                       priority, tags, tag_keys, due_date, due_at, created_at, updated_at, version, document)
    VALUES (owner, task.id, task.uid, task.title, task.title_key, task.description, task.description_key,
            task.completed, task.completed_at, task.priority, task.tags, task.tag_keys, task.due_date, task.due_at,
            task.created_at, task.updated_at, task.version, task.document);
    outcome := 'done';
    task_id := task.id;
    task_version := task.id;
    task_uid := task.uid;
    document := task.document;
END
$$;
