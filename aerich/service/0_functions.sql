-- The functions of the first schema that a later migration has replaced, as they were (0_…_init.py creates them).

-- Build the JSON of a live task for responses. Only this function defines its members and their order.
--
-- Writes store the JSON in `tasks.document`. Reads build it only if that column is NULL. `service.database.functions`
-- copies the expression of this function into the reads and replaces the argument with the table. A migration that adds
-- a member replaces this function, and drops and adds the column, which rewrites no row.
--
-- This function must remain a single expression, so that PostgreSQL inlines it.
CREATE FUNCTION task_document(task tasks) RETURNS text LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'id', task.id,
    'uid', task.uid,
    'user_id', task.user_id,
    'title', task.title,
    'description', task.description,
    'completed', task.completed,
    'completed_at', to_char(task.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'priority', (ARRAY['none', 'low', 'medium', 'high'])[task.priority + 1],
    'tags', task.tags,
    'due_date', task.due_date,
    'due_at', to_char(task.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'created_at', to_char(task.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'updated_at', to_char(task.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'version', task.version
)::text
$$;

-- Create a task of `owner`. The outcome is `done`, or `full` if the owner already has `quota` live tasks.
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
    -- Name the columns: during an upgrade this function may run after a later release has added a column.
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

-- Change a live task of `owner`. A value of NULL leaves its column unchanged. For a column that can be NULL, `sets_…`
-- says whether to set it. The outcomes are those of `complete_task`. If nothing changes, nothing is written.
CREATE FUNCTION update_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    title text, title_key text, sets_description boolean, description text, description_key text, completed boolean,
    priority smallint, tags text[], tag_keys text[], sets_due_date boolean, due_date text, sets_due_at boolean,
    due_at text,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    task tasks;
    was tasks;
BEGIN
    -- Lock the owner. Later reads see the last committed write, and no other write of the owner runs until the commit.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond') INTO advanced, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = update_task.id AND deleted_at IS NULL;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    task_id := id;
    task_uid := task.uid;
    IF task.version <> ALL (expected) OR task.version = ANY (excluded) THEN
        outcome := 'mismatch';
        task_version := task.version;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    outcome := 'done';
    was := task;
    IF title IS NOT NULL THEN
        task.title := title;
        task.title_key := title_key;
    END IF;
    IF sets_description THEN
        task.description := description;
        task.description_key := description_key;
    END IF;
    IF completed <> task.completed THEN
        task.completed := completed;
        task.completed_at := CASE WHEN completed THEN moment END;
    END IF;
    IF priority IS NOT NULL THEN
        task.priority := priority;
    END IF;
    IF tags IS NOT NULL THEN
        task.tags := tags;
        task.tag_keys := tag_keys;
    END IF;
    IF sets_due_date THEN
        task.due_date := due_date;
    END IF;
    IF sets_due_at THEN
        task.due_at := due_at;
    END IF;
    IF task IS NOT DISTINCT FROM was THEN
        task_version := task.version;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    task.updated_at := moment;
    task.version := advanced;
    task.document := task_document(task);
    UPDATE tasks
    SET title = task.title, title_key = task.title_key, description = task.description,
        description_key = task.description_key, completed = task.completed, completed_at = task.completed_at,
        priority = task.priority, tags = task.tags, tag_keys = task.tag_keys, due_date = task.due_date,
        due_at = task.due_at, updated_at = moment, version = advanced, document = task.document
    WHERE tasks.user_id = owner AND tasks.id = update_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    task_version := advanced;
    document := task.document;
END
$$;

-- Set the completion of a live task of `owner` to `completion`, or toggle it if `completion` is NULL.
--
-- The outcome is `done`, `missing` or `mismatch` (the task's version is not in `expected` or is in `excluded`; NULL
-- accepts all versions). If the task already has this completion, the outcome is `done` and nothing is written. For
-- `done` and `mismatch`, the result includes the task in its current state.
CREATE FUNCTION complete_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[], completion boolean,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    task tasks;
BEGIN
    -- Lock the owner. Later reads see the last committed write, and no other write of the owner runs until the commit.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond') INTO advanced, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = complete_task.id AND deleted_at IS NULL;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    task_id := id;
    task_uid := task.uid;
    IF task.version <> ALL (expected) OR task.version = ANY (excluded) THEN
        outcome := 'mismatch';
    ELSE
        outcome := 'done';
    END IF;
    IF outcome = 'mismatch' OR task.completed = completion THEN
        task_version := task.version;
        document := coalesce(task.document, task_document(task));
        RETURN;
    END IF;
    task.completed := NOT task.completed;
    task.completed_at := CASE WHEN task.completed THEN moment END;
    task.updated_at := moment;
    task.version := advanced;
    task.document := task_document(task);
    UPDATE tasks
    SET completed = task.completed, completed_at = task.completed_at, updated_at = moment, version = advanced,
        document = task.document
    WHERE tasks.user_id = owner AND tasks.id = complete_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    task_version := advanced;
    document := task.document;
END
$$;

-- Move a live task of `owner` to the trash. The outcomes are those of `complete_task`, and `full` if the trash already
-- has `trash_quota` tasks.
CREATE FUNCTION delete_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    trash_quota integer,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    advanced bigint;
    moment timestamptz;
    trashed integer;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count
    INTO advanced, moment, trashed
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO task FROM tasks WHERE tasks.user_id = owner AND tasks.id = delete_task.id AND deleted_at IS NULL;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    task_id := id;
    task_uid := task.uid;
    task_version := task.version;
    IF task.version <> ALL (expected) OR task.version = ANY (excluded) THEN
        outcome := 'mismatch';
        document := coalesce(task.document, task_document(task));
        RETURN;
    ELSIF trashed >= trash_quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    -- `deleted_at` is the clock's time, because the purge compares it with the clock; `written_at` may be ahead of it.
    -- Reads of the trash are rare, so its tasks have no document.
    UPDATE tasks SET deleted_at = clock, updated_at = moment, version = advanced, document = NULL
    WHERE tasks.user_id = owner AND tasks.id = delete_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment, task_count = users.task_count - 1,
        trash_count = users.trash_count + 1,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
END
$$;

-- Move all live tasks of `owner` to the trash, or only those with this `completion`. If the trash would have more than
-- `trash_quota` tasks, move none. Returns the number of matching tasks (`wanted`) and of moved tasks (`deleted`).
CREATE FUNCTION delete_tasks(
    owner text, owner_email text, owner_name text, completion boolean, trash_quota integer,
    OUT wanted bigint, OUT deleted bigint
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    before bigint;
    moment timestamptz;
    trashed integer;
BEGIN
    deleted := 0;
    SELECT users.revision, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count
    INTO before, moment, trashed
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT count(*) INTO wanted FROM tasks
    WHERE tasks.user_id = owner AND deleted_at IS NULL AND (completion IS NULL OR completed = completion);
    IF wanted = 0 OR trashed + wanted > trash_quota THEN
        RETURN;
    END IF;
    -- Each task gets its own revision, in the order of ids, because a page of the change feed may end after any task.
    UPDATE tasks
    SET deleted_at = clock, updated_at = moment, version = before + gone.place, document = NULL
    FROM (
        SELECT tasks.id, row_number() OVER (ORDER BY tasks.id) AS place FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NULL AND (completion IS NULL OR completed = completion)
    ) AS gone
    WHERE tasks.user_id = owner AND tasks.id = gone.id;
    UPDATE users
    SET revision = before + wanted, written_at = moment, task_count = users.task_count - wanted,
        trash_count = users.trash_count + wanted,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    deleted := wanted;
END
$$;

-- Restore a task of `owner` from the trash. The outcome is `done`, `missing`, or `full` if the owner already has
-- `quota` live tasks.
CREATE FUNCTION restore_task(
    owner text, owner_email text, owner_name text, id bigint, quota integer,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    live integer;
    erased bigint;
    task tasks;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.task_count,
           users.erased
    INTO advanced, moment, live, erased
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    -- Exclude tasks that an erasure has not removed yet.
    SELECT * INTO task FROM tasks
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id AND deleted_at IS NOT NULL AND tasks.version > erased;
    IF task.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    ELSIF live >= quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    task.deleted_at := NULL;
    task.updated_at := moment;
    task.version := advanced;
    task.document := task_document(task);
    UPDATE tasks SET deleted_at = NULL, updated_at = moment, version = advanced, document = task.document
    WHERE tasks.user_id = owner AND tasks.id = restore_task.id;
    UPDATE users
    SET revision = advanced, written_at = moment, task_count = users.task_count + 1,
        trash_count = users.trash_count - 1,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
    task_id := id;
    task_version := advanced;
    task_uid := task.uid;
    document := task.document;
END
$$;

-- Permanently remove the task `id` from the trash of `owner`; if `id` is NULL, at most `most` tasks of the trash.
-- Returns the number of removed tasks. (They have no order: a sort would read the whole trash for each page.)
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
    -- The change feed can no longer report these deletions to a reader before the revision `forgotten`.
    UPDATE users
    SET revision = advanced, written_at = moment, trash_count = users.trash_count - destroyed,
        forgotten = greatest(users.forgotten, newest),
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
END
$$;

-- Perform many writes of `owner` in the order of `operations`, a JSON array of objects with a `verb` and its arguments.
-- Each operation sees the writes of the earlier ones. Returns the outcome, version and document of each operation.
--
-- If `atomic`, the first operation that fails rolls all of them back, and its outcome is the last one in the result.
CREATE FUNCTION perform_batch(
    owner text, owner_email text, owner_name text, quota integer, trash_quota integer, atomic boolean, operations text,
    OUT outcomes text[], OUT versions bigint[], OUT documents text[]
) LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    operation record;
    done record;
BEGIN
    -- The lock excludes other writes between two operations. The batch does not find tasks that it creates itself.
    SELECT users.revision INTO before FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    FOR operation IN
        SELECT * FROM json_to_recordset(operations::json) AS sent (
            verb text, id bigint, expected bigint[], excluded bigint[], uid uuid, columns text[], title text,
            title_key text, description text, description_key text, completed boolean, priority smallint, tags text[],
            tag_keys text[], due_date text, due_at text
        )
    LOOP
        IF operation.id > coalesce(before, 0) THEN
            SELECT 'missing' AS outcome, NULL::bigint AS task_version, NULL AS document INTO done;
        ELSIF operation.verb = 'create' THEN
            done := create_task(
                owner, owner_email, owner_name, quota, operation.uid, operation.title, operation.title_key,
                operation.description, operation.description_key, coalesce(operation.completed, false),
                coalesce(operation.priority, 0::smallint), coalesce(operation.tags, '{}'),
                coalesce(operation.tag_keys, '{}'), operation.due_date, operation.due_at);
        ELSIF operation.verb = 'update' THEN
            done := update_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, operation.title,
                operation.title_key, 'description' = ANY (operation.columns), operation.description,
                operation.description_key, operation.completed, operation.priority, operation.tags, operation.tag_keys,
                'due_date' = ANY (operation.columns), operation.due_date, 'due_at' = ANY (operation.columns),
                operation.due_at);
        ELSIF operation.verb = 'complete' THEN
            done := complete_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded,
                operation.completed);
        ELSIF operation.verb = 'delete' THEN
            done := delete_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, trash_quota);
        ELSE
            done := restore_task(owner, owner_email, owner_name, operation.id, quota);
        END IF;
        outcomes := outcomes || done.outcome;
        versions := versions || done.task_version;
        documents := documents || done.document;
        IF atomic AND done.outcome <> 'done' THEN
            RAISE EXCEPTION USING ERRCODE = 'DO001';  -- rolls back the writes of this block, but keeps its variables
        END IF;
    END LOOP;
EXCEPTION WHEN SQLSTATE 'DO001' THEN
    RETURN;
END
$$;

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

-- Erase `owner`. Afterwards all data of the owner is unreachable; `sweep_erased` removes the rows of the trash. Returns
-- whether the user existed.
CREATE FUNCTION erase_owner(owner text, OUT existed boolean) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    beginning timestamptz;
BEGIN
    SELECT users.revision + 1, greatest(now(), users.created_at + interval '1 microsecond') INTO advanced, beginning
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    existed := advanced IS NOT NULL;
    IF NOT existed THEN
        RETURN;
    END IF;
    -- The user gets a new beginning, which invalidates all known positions and ETags, and all counts become 0. The
    -- revision continues, so that the ids and versions of later writes are greater than `erased`.
    UPDATE users
    SET revision = advanced, forgotten = advanced, erased = advanced, created_at = beginning, written_at = beginning,
        email = NULL, name = NULL, task_count = 0, trash_count = 0, answer_count = 0, answer_bytes = 0
    WHERE users.id = owner;
    DELETE FROM idempotency_keys WHERE idempotency_keys.user_id = owner;
    DELETE FROM tasks WHERE tasks.user_id = owner AND deleted_at IS NULL;
END
$$;

-- Call `perform_batch` once for each idempotency key, and store its result in the same transaction. A write of a single
-- task is an `atomic` batch with one operation.
--
-- The outcome is `done`, `again` (this request was performed before), `refused` (the batch was rolled back and the key
-- stays unused), `busy` or `reused` (see `find_answer`), or `full` (the answer would exceed the quota, and nothing is
-- written). For the first three, `answer` is the result of `perform_batch` as JSON, and `answered` is the id of the
-- request that was performed.
CREATE FUNCTION perform_once(
    owner text, owner_email text, owner_name text, route text, key text, digest bytea, request_id text,
    lifetime interval, most_keys integer, most_bytes bigint,
    quota integer, trash_quota integer, atomic boolean, operations text,
    OUT outcome text, OUT answered text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    SELECT known.outcome, known.request_id, known.answer INTO outcome, answered, answer
    FROM find_answer(owner, route, key, digest, lifetime) AS known;
    IF outcome <> 'new' THEN
        RETURN;
    END IF;
    done := perform_batch(owner, owner_email, owner_name, quota, trash_quota, atomic, operations);
    answered := request_id;
    -- The documents are embedded as JSON, so they remain byte for byte the same.
    answer := json_build_object(
        'outcomes', done.outcomes, 'versions', done.versions, 'documents', done.documents::json[]);
    IF atomic AND 'done' <> ANY (done.outcomes) THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;

-- Call `import_tasks` once for each idempotency key. `perform_once` describes the outcomes. `answer` is the result of
-- `import_tasks`, as JSON.
CREATE FUNCTION import_once(
    owner text, owner_email text, owner_name text, route text, key text, digest bytea, request_id text,
    lifetime interval, most_keys integer, most_bytes bigint,
    quota integer, trash_quota integer, skip_known boolean, lines bytea,
    OUT outcome text, OUT answered text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    SELECT known.outcome, known.request_id, known.answer INTO outcome, answered, answer
    FROM find_answer(owner, route, key, digest, lifetime) AS known;
    IF outcome <> 'new' THEN
        RETURN;
    END IF;
    done := import_tasks(owner, owner_email, owner_name, quota, trash_quota, skip_known, lines);
    answered := request_id;
    answer := json_build_object('outcome', done.outcome, 'imported', done.imported);
    IF done.outcome <> 'done' THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;
