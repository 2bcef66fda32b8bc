-- Create the tasks of the JSON array `lines` (UTF-8) for `owner`: all of them, or none. With `skip_known`, skip a task
-- if the owner has a live or deleted task with the same title and `created_at`.
--
-- The outcome is `done`, `full` (the import would exceed `quota`, the maximum of live tasks) or `trash_full` (it would
-- exceed `trash_quota`, the maximum of deleted tasks). Unless it is `done`, nothing is written. `imported` counts the
-- created tasks.
CREATE FUNCTION import_tasks(
    owner text, owner_email text, owner_name text, quota integer, trash_quota integer, skip_known boolean, lines bytea,
    OUT outcome text, OUT imported integer
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    owned users;
    moment timestamptz;
    line record;
    task tasks;
BEGIN
    -- The lock on the owner serializes two imports of the same file, so the second one sees the tasks of the first.
    owned := lock_owner(owner, owner_email, owner_name);
    moment := greatest(clock, owned.written_at + interval '1 microsecond');
    outcome := 'done';
    imported := 0;
    -- The planner estimates 100 rows for a JSON array, so it may choose a quadratic join. A window function sorts once,
    -- whatever the estimate is. Each row carries both totals, so that the quotas are checked before the first insert.
    FOR line IN
        SELECT fresh.*, count(*) OVER () - count(deleted_at) OVER () AS adds, count(deleted_at) OVER () AS trashes
        FROM (
            SELECT either.*, bool_or(place IS NULL) OVER (PARTITION BY title, created_at) AS is_there
            FROM (
                SELECT * FROM ROWS FROM (
                    json_to_recordset(convert_from(lines, 'UTF8')::json) AS (
                        uid uuid, title text, title_key text, description text, description_key text,
                        completed boolean, completed_at timestamptz, priority smallint, tags text[], tag_keys text[],
                        due_date date, due_at timestamptz, created_at timestamptz, updated_at timestamptz,
                        deleted_at timestamptz
                    )
                ) WITH ORDINALITY AS sent (
                    uid, title, title_key, description, description_key, completed, completed_at, priority, tags,
                    tag_keys, due_date, due_at, created_at, updated_at, deleted_at, place
                )
                UNION ALL
                SELECT NULL, tasks.title, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, tasks.created_at,
                       NULL, NULL, NULL
                FROM tasks WHERE tasks.user_id = owner AND skip_known AND tasks.version > owned.erased
            ) AS either
        ) AS fresh
        WHERE NOT is_there
        ORDER BY place
    LOOP
        IF imported = 0 AND line.adds > 0 AND owned.task_count + line.adds > quota THEN
            outcome := 'full';
            RETURN;
        ELSIF imported = 0 AND line.trashes > 0 AND owned.trash_count + line.trashes > trash_quota THEN
            outcome := 'trash_full';
            RETURN;
        END IF;
        -- Each task gets its own revision, in the order of the lines.
        imported := imported + 1;
        task.user_id := owner;
        task.id := owned.revision + imported;
        task.uid := line.uid;
        task.title := line.title;
        task.title_key := line.title_key;
        task.description := line.description;
        task.description_key := line.description_key;
        task.completed := coalesce(line.completed, false);
        task.completed_at := CASE WHEN line.completed THEN coalesce(line.completed_at, moment) END;
        task.priority := coalesce(line.priority, 0);
        task.tags := coalesce(line.tags, '{}');
        task.tag_keys := coalesce(line.tag_keys, '{}');
        task.due_date := line.due_date;
        task.due_at := line.due_at;
        task.created_at := coalesce(line.created_at, moment);
        task.updated_at := coalesce(line.updated_at, moment);
        task.version := task.id;
        -- The purge looks for deletion times in the past, so a time in the future becomes the current time.
        task.deleted_at := least(line.deleted_at, CASE WHEN line.deleted_at IS NOT NULL THEN clock END);
        task.document := CASE WHEN task.deleted_at IS NULL THEN task_document(task) END;
        -- Name the columns: during an upgrade this function may run after a later release has added a column.
        INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                           priority, tags, tag_keys, due_date, due_at, created_at, updated_at, version, deleted_at,
                           document)
        VALUES (owner, task.id, task.uid, task.title, task.title_key, task.description, task.description_key,
                task.completed, task.completed_at, task.priority, task.tags, task.tag_keys, task.due_date,
                task.due_at, task.created_at, task.updated_at, task.version, task.deleted_at, task.document);
    END LOOP;
    IF imported > 0 THEN
        UPDATE users
        SET revision = owned.revision + imported, written_at = moment, task_count = users.task_count + line.adds,
            trash_count = users.trash_count + line.trashes,
            email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
        WHERE users.id = owner;
    END IF;
END
$$;
