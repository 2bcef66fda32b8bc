-- The functions of the migration that added lists and subtasks, as it created them. A later migration has replaced them.

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
    'list_id', task.list_id,
    'parent_id', task.parent_id,
    'position', coalesce(task.position, position_of_id(task.id)),
    'created_at', to_char(task.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'updated_at', to_char(task.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'version', task.version
)::text
$$;

-- Create a task of `owner`. The outcome is `done`, `full` (the owner already has `quota` live tasks), or an outcome of
-- `seat_task`. `seat` has the last four arguments of that function, or is NULL. If the client chose the `uid` (`is_named`), the outcome is
-- `known` if a live task has it already, with that task as the result, and `in_trash` if a deleted task has it.
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
                       priority, tags, tag_keys, due_date, due_at, list_id, parent_id, position, created_at,
                       updated_at, version, document)
    VALUES (owner, task.id, task.uid, task.title, task.title_key, task.description, task.description_key,
            task.completed, task.completed_at, task.priority, task.tags, task.tag_keys, task.due_date, task.due_at,
            task.list_id, task.parent_id, task.position, task.created_at, task.updated_at, task.version,
            task.document);
    IF task.parent_id IS NOT NULL THEN
        last := carry_family(owner, task, NULL, task.created_at, task.id);
        UPDATE users SET revision = last, has_subtasks = true WHERE users.id = owner;
    END IF;
    outcome := 'done';
    task_id := task.id;
    task_version := task.id;
    task_uid := task.uid;
    document := task.document;
END
$$;

-- Change a live task of `owner`. A value of NULL leaves its column unchanged. For a column that can be NULL, `sets_…`
-- says whether to set it. The outcomes are those of `complete_task` and of `seat_task`. `seat` has the last four
-- arguments of that function, or is NULL. If nothing changes, nothing is written. `carry_family` writes the task's family.
CREATE FUNCTION update_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    title text, title_key text, sets_description boolean, description text, description_key text, completed boolean,
    priority smallint, tags text[], tag_keys text[], sets_due_date boolean, due_date text, sets_due_at boolean,
    due_at text, seat text[],
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    last bigint;
    has_family boolean;
    seating record;
    task tasks;
    was tasks;
BEGIN
    -- Lock the owner. Later reads see the last committed write, and no other write of the owner runs until the commit.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.has_subtasks
    INTO advanced, moment, has_family
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
    was := task;
    IF seat IS NOT NULL THEN
        seating := seat_task(owner, task, seat[1], seat[2], seat[3], seat[4]);
        IF seating.outcome IS NOT NULL THEN
            outcome := seating.outcome;
            RETURN;
        END IF;
        task := seating.seated;
        has_family := has_family OR task.parent_id IS NOT NULL;
        -- New positions of the siblings have taken revisions.
        SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond') INTO advanced, moment
        FROM users WHERE users.id = owner;
    END IF;
    outcome := 'done';
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
        due_at = task.due_at, list_id = task.list_id, parent_id = task.parent_id, position = task.position,
        updated_at = moment, version = advanced, document = task.document
    WHERE tasks.user_id = owner AND tasks.id = update_task.id;
    last := advanced;
    IF has_family THEN
        -- The second condition is separate, because PostgreSQL prepares each expression as a whole.
        IF (task.completed, task.list_id, task.parent_id)
           IS DISTINCT FROM (was.completed, was.list_id, was.parent_id) THEN
            last := carry_family(owner, task, was, moment, advanced);
        END IF;
    END IF;
    UPDATE users
    SET revision = last, written_at = moment, has_subtasks = has_family,
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
-- `done` and `mismatch`, the result includes the task in its current state. `carry_family` writes the task's family.
CREATE FUNCTION complete_task(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[], completion boolean,
    OUT outcome text, OUT task_id bigint, OUT task_version bigint, OUT task_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
    moment timestamptz;
    last bigint;
    task tasks;
    was tasks;
    has_family boolean;
BEGIN
    -- Lock the owner. Later reads see the last committed write, and no other write of the owner runs until the commit.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond'), users.has_subtasks
    INTO advanced, moment, has_family
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
    IF has_family THEN
        was := task;
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
    last := advanced;
    IF has_family THEN
        last := carry_family(owner, task, was, moment, advanced);
    END IF;
    UPDATE users
    SET revision = last, written_at = moment,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    task_version := advanced;
    document := task.document;
END
$$;

-- Apply a write of `task`, which has just been written at the revision `before`, to its family. `was` is the task before
-- the write; NULL if it is new.
--
-- - A completed parent completes its open subtasks at the same moment.
-- - A reopened parent reopens the subtasks that were completed at the same moment.
-- - An open subtask reopens its parent.
-- - The subtasks follow their parent to another list.
--
-- Each task takes a revision after `before`. Returns the last one. The caller holds the owner's lock.
CREATE FUNCTION carry_family(
    owner text, task tasks, was tasks, moment timestamptz, before bigint, OUT last bigint
) LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    IF task.parent_id IS NULL THEN
        UPDATE tasks
        SET completed = CASE WHEN child.turns THEN task.completed ELSE tasks.completed END,
            completed_at = CASE WHEN child.turns THEN task.completed_at ELSE tasks.completed_at END,
            list_id = task.list_id, updated_at = moment, version = before + child.place, document = NULL
        FROM (
            SELECT found.id, found.turns, row_number() OVER (ORDER BY found.id) AS place
            FROM (
                SELECT tasks.id, tasks.list_id, task.completed <> was.completed
                    AND tasks.completed_at IS NOT DISTINCT FROM was.completed_at AS turns
                FROM tasks WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at IS NULL
            ) AS found
            WHERE found.turns OR found.list_id IS DISTINCT FROM task.list_id
        ) AS child
        WHERE tasks.user_id = owner AND tasks.id = child.id;
    ELSIF NOT task.completed THEN
        UPDATE tasks
        SET completed = false, completed_at = NULL, updated_at = moment, version = before + 1, document = NULL
        WHERE tasks.user_id = owner AND tasks.id = task.parent_id AND deleted_at IS NULL AND tasks.completed;
    END IF;
    GET DIAGNOSTICS written = ROW_COUNT;
    last := before + written;
END
$$;

-- Prepare a new task of `owner` that has a chosen uid, a list, a parent or a place, for `create_task`, which describes
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
    newest bigint;
    operation record;
    seat text[];
    done record;
BEGIN
    -- The lock excludes other writes between two operations. An id that the batch itself has assigned is not accepted,
    -- because the client can only have guessed it; a uid is.
    SELECT users.revision INTO newest FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    newest := coalesce(newest, 0);
    FOR operation IN
        SELECT * FROM json_to_recordset(operations::json) AS sent (
            verb text, id bigint, ref uuid, expected bigint[], excluded bigint[], uid uuid, is_named boolean,
            columns text[], title text, title_key text, description text, description_key text, completed boolean,
            priority smallint, tags text[], tag_keys text[], due_date text, due_at text, list_id text, parent_id text,
            placed text, place text, name text, color text, archived boolean, contents text, list_quota integer
        )
    LOOP
        IF operation.ref IS NOT NULL THEN
            operation.id := CASE WHEN operation.verb LIKE '%\_list' THEN list_id_of(owner, operation.ref)
                            ELSE task_id_of(owner, operation.ref) END;
        END IF;
        IF (CASE WHEN operation.list_id ~ '^[0-9]+$' THEN operation.list_id::bigint END) > newest THEN
            operation.list_id := '0';  -- the id of no row
        END IF;
        IF (CASE WHEN operation.parent_id ~ '^[0-9]+$' THEN operation.parent_id::bigint END) > newest THEN
            operation.parent_id := '0';
        END IF;
        IF (CASE WHEN operation.place ~ '^[0-9]+$' THEN operation.place::bigint END) > newest THEN
            operation.place := '0';
        END IF;
        seat := NULL;
        IF coalesce(operation.list_id, operation.parent_id, operation.placed) IS NOT NULL THEN
            seat := ARRAY[operation.list_id, operation.parent_id, operation.placed, operation.place];
        END IF;
        IF (operation.id IS NULL AND operation.verb NOT IN ('create', 'create_list'))
           OR (operation.ref IS NULL AND operation.id > newest) THEN
            SELECT 'missing' AS outcome, NULL::bigint AS task_version, NULL AS document INTO done;
        ELSIF operation.verb = 'create' THEN
            done := create_task(
                owner, owner_email, owner_name, quota, operation.uid, operation.title, operation.title_key,
                operation.description, operation.description_key, coalesce(operation.completed, false),
                coalesce(operation.priority, 0::smallint), coalesce(operation.tags, '{}'),
                coalesce(operation.tag_keys, '{}'), operation.due_date, operation.due_at,
                coalesce(operation.is_named, false), seat);
        ELSIF operation.verb = 'update' THEN
            done := update_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, operation.title,
                operation.title_key, 'description' = ANY (operation.columns), operation.description,
                operation.description_key, operation.completed, operation.priority, operation.tags, operation.tag_keys,
                'due_date' = ANY (operation.columns), operation.due_date, 'due_at' = ANY (operation.columns),
                operation.due_at, seat);
        ELSIF operation.verb = 'complete' THEN
            done := complete_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded,
                operation.completed);
        ELSIF operation.verb = 'delete' THEN
            done := delete_task(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, trash_quota);
        ELSIF operation.verb = 'restore' THEN
            done := restore_task(owner, owner_email, owner_name, operation.id, quota);
        ELSIF operation.verb = 'create_list' THEN
            SELECT made.outcome, made.list_version AS task_version, made.document INTO done
            FROM create_list(
                owner, owner_email, owner_name, operation.list_quota, operation.uid, operation.is_named,
                operation.name, operation.color, coalesce(operation.archived, false), operation.placed,
                operation.place) AS made;
        ELSIF operation.verb = 'update_list' THEN
            SELECT made.outcome, made.list_version AS task_version, made.document INTO done
            FROM update_list(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, operation.name,
                'color' = ANY (operation.columns), operation.color, operation.archived, operation.placed,
                operation.place) AS made;
        ELSIF operation.verb = 'delete_list' THEN
            SELECT made.outcome, made.list_version AS task_version, made.document INTO done
            FROM delete_list(
                owner, owner_email, owner_name, operation.id, operation.expected, operation.excluded, operation.contents,
                trash_quota) AS made;
        ELSE
            SELECT made.outcome, made.list_version AS task_version, made.document INTO done
            FROM restore_list(owner, owner_email, owner_name, operation.id, operation.list_quota, quota) AS made;
        END IF;
        outcomes := outcomes || done.outcome;
        versions := versions || done.task_version;
        documents := documents || done.document;
        IF atomic AND done.outcome NOT IN ('done', 'known') THEN
            RAISE EXCEPTION USING ERRCODE = 'DO001';  -- rolls back the writes of this block, but keeps its variables
        END IF;
    END LOOP;
EXCEPTION WHEN SQLSTATE 'DO001' THEN
    RETURN;
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
    IF atomic AND NOT done.outcomes <@ '{done,known}' THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;

-- Create the lists and tasks of a file for `owner`: all of them, or none.
--
-- `file_lists` and `file_tasks` are JSON arrays of objects (UTF-8). Each object has a new `uid`, and in `named` the uid in
-- the file, if there is one. `list_refs` and `parent_refs` are the list and the parent of the task at the same place: a
-- number is a place in the arrays, from 1; any other text is the uid of a live list or task of the owner. A parent in
-- `file_tasks` has no parent itself. A list with `is_by_name` is the owner's live list with this name; if there is none,
-- it is created when a task needs it.
--
-- With `skip_known`, a list or task whose `named` uid the owner has already, live or deleted, stands for that row and is
-- not created. The same applies to a task without `named` if the owner has a task with the same title and `created_at`.
-- Otherwise, a uid that the owner has already is replaced.
--
-- The outcome is `done`; `full`, `full_lists` or `trash_full` (the import would exceed `quota`, `list_quota` or
-- `trash_quota`); or, for the task at `place`, `no_list`, `many_lists` (several lists have the name), `no_parent` or
-- `deep_parent` (the parent is a subtask). Unless it is `done`, nothing is written. `imported` counts the created tasks.
CREATE FUNCTION import_tasks(
    owner text, owner_email text, owner_name text, quota integer, trash_quota integer, list_quota integer,
    skip_known boolean, file_lists bytea, file_tasks bytea, list_refs text[], parent_refs text[],
    OUT outcome text, OUT imported integer, OUT place integer
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    owned users;
    moment timestamptz;
    before bigint;  -- the revision before the first task
    line record;
    task tasks;
    above tasks;
    list_ids bigint[];
    live_ids bigint[];
    names text[];
    uids uuid[];
    made integer;  -- live lists
    thrown integer;  -- lists and tasks in the trash
    number integer;
    -- Of the top-level tasks by place: the id, the list (0 for the inbox), whether it can be a parent, whether it is done.
    ids bigint[] := '{}';
    homes bigint[] := '{}';
    parents boolean[] := '{}';
    dones boolean[] := '{}';
    spread text[];
    has_family boolean := false;
    reopened bigint[] := '{}';
    last bigint;
BEGIN
    -- The lock on the owner serializes two imports of the same file, so the second one sees the tasks of the first.
    owned := lock_owner(owner, owner_email, owner_name);
    moment := greatest(clock, owned.written_at + interval '1 microsecond');
    outcome := 'done';
    imported := 0;
    IF owned.erased > 0 THEN  -- an erasure may not have removed all tasks yet, and their uids may be in the file
        SELECT array_agg(sent.named) INTO uids
        FROM json_to_recordset(convert_from(file_tasks, 'UTF8')::json) AS sent (named uuid);
        DELETE FROM tasks WHERE tasks.user_id = owner AND tasks.version <= owned.erased AND tasks.uid = ANY (uids);
    END IF;
    SELECT found.ids, found.live_ids, found.names, found.uids, found.made, found.thrown
    INTO list_ids, live_ids, names, uids, made, thrown
    FROM import_lists(owner, moment, owned.revision, skip_known, file_lists) AS found;
    before := owned.revision + json_array_length(convert_from(file_lists, 'UTF8')::json);
    -- The planner estimates 100 rows for a JSON array, so it may choose a quadratic join. A window function sorts once,
    -- whatever the estimate is. Each row carries the totals, so that the quotas are checked before the first insert.
    -- Each task gets its own revision, in the order of the lines. Parents come first, so that the arrays have them. (A
    -- query for each parent could scan all tasks, because its plan stays as it was for fewer tasks.)
    FOR line IN
        SELECT fresh.*,
               before + count(*) FILTER (WHERE skipped IS NULL) OVER (ORDER BY fresh.place) AS id,
               count(*) FILTER (WHERE skipped IS NULL AND deleted_at IS NULL) OVER () AS adds,
               count(*) FILTER (WHERE skipped IS NULL AND deleted_at IS NOT NULL) OVER () AS trashes,
               row_number() OVER (ORDER BY key, fresh.place) AS rank,
               bool_or(key < position_of_id(before + lines)) OVER () AS is_below
        FROM (
            SELECT matched.*, count(*) OVER () AS lines, CASE
                WHEN NOT skip_known THEN NULL WHEN named IS NOT NULL THEN same_uid ELSE same_text END AS skipped
            FROM (
                SELECT either.*, max(known) OVER (PARTITION BY named) AS same_uid,
                       max(known) OVER (PARTITION BY title, created_at) AS same_text
                FROM (
                    SELECT sent.*, sent.position COLLATE "C" AS key, NULL::bigint[] AS known FROM ROWS FROM (
                        json_to_recordset(convert_from(file_tasks, 'UTF8')::json) AS (
                            uid uuid, named uuid, title text, title_key text, description text, description_key text,
                            completed boolean, completed_at timestamptz, priority smallint, tags text[],
                            tag_keys text[], due_date date, due_at timestamptz, position text, created_at timestamptz,
                            updated_at timestamptz, deleted_at timestamptz
                        ), unnest(list_refs), unnest(parent_refs)
                    ) WITH ORDINALITY AS sent (
                        uid, named, title, title_key, description, description_key, completed, completed_at, priority,
                        tags, tag_keys, due_date, due_at, position, created_at, updated_at, deleted_at, list_ref,
                        parent_ref, place
                    )
                    UNION ALL
                    SELECT NULL, tasks.uid, tasks.title, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                           NULL, tasks.created_at, NULL, NULL, NULL, NULL, NULL, NULL,
                           ARRAY[tasks.id, coalesce(tasks.list_id, 0),
                                 (tasks.deleted_at IS NULL AND tasks.parent_id IS NULL)::integer,
                                 tasks.completed::integer]
                    FROM tasks WHERE tasks.user_id = owner AND tasks.version > owned.erased
                ) AS either
            ) AS matched
            WHERE matched.place IS NOT NULL
        ) AS fresh
        ORDER BY parent_ref IS NOT NULL, fresh.place
    LOOP
        IF imported = 0 AND line.adds > 0 AND owned.task_count + line.adds > quota THEN
            outcome := 'full';
            RAISE SQLSTATE 'DO003';
        ELSIF line.skipped IS NOT NULL THEN
            ids[line.place] := line.skipped[1];
            homes[line.place] := line.skipped[2];
            parents[line.place] := line.skipped[3] = 1;
            dones[line.place] := line.skipped[4] = 1;
            CONTINUE;
        END IF;
        imported := imported + 1;
        place := line.place;
        task.user_id := owner;
        task.id := line.id;
        task.uid := CASE WHEN line.same_uid IS NULL THEN coalesce(line.named, line.uid) ELSE line.uid END;
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
        task.deleted_at := CASE WHEN line.deleted_at IS NOT NULL THEN least(line.deleted_at, clock) END;
        -- If a position of the file would sort before a task that is created later, the tasks of the file get new
        -- positions in the same order.
        IF line.is_below AND spread IS NULL THEN
            spread := positions_spread(line.lines::integer);
        END IF;
        task.position := CASE WHEN line.key IS NULL THEN NULL WHEN line.is_below THEN spread[line.rank]
                              ELSE nullif(line.key, position_of_id(task.id)) END;
        task.list_id := NULL;
        IF line.list_ref ~ '^[0-9]+$' THEN
            number := line.list_ref;
            IF list_ids[number] IS NULL THEN
                list_ids[number] := owned.revision + number;
                live_ids[number] := list_ids[number];
                made := made + 1;
                INSERT INTO lists (user_id, id, uid, name, archived, created_at, updated_at, version)
                VALUES (owner, list_ids[number], uids[number], names[number], false, moment, moment,
                        list_ids[number]);
            END IF;
            -- A live task whose list is in the trash goes to the inbox.
            task.list_id := CASE WHEN task.deleted_at IS NULL THEN live_ids[number] ELSE list_ids[number] END;
            IF task.list_id = 0 THEN
                outcome := 'many_lists';
                RAISE SQLSTATE 'DO003';
            END IF;
        ELSIF line.list_ref IS NOT NULL THEN
            SELECT lists.id INTO task.list_id FROM lists
            WHERE lists.user_id = owner AND lists.uid = line.list_ref::uuid AND lists.deleted_at IS NULL;
            IF task.list_id IS NULL THEN
                outcome := 'no_list';
                RAISE SQLSTATE 'DO003';
            END IF;
        END IF;
        task.parent_id := NULL;
        IF line.parent_ref IS NULL THEN
            ids[place] := task.id;
            homes[place] := coalesce(task.list_id, 0);
            parents[place] := task.deleted_at IS NULL;
            dones[place] := task.completed;
        ELSIF line.parent_ref ~ '^[0-9]+$' THEN
            number := line.parent_ref;
            -- A live task whose parent has been deleted or moved becomes a top-level task.
            IF parents[number] OR task.deleted_at IS NOT NULL THEN
                task.parent_id := ids[number];
            END IF;
            IF parents[number] AND task.deleted_at IS NULL THEN
                task.list_id := nullif(homes[number], 0);
                above.completed := dones[number];
            END IF;
        ELSE
            above := find_task(owner, line.parent_ref);
            IF above.id IS NULL OR above.parent_id IS NOT NULL THEN
                outcome := CASE WHEN above.id IS NULL THEN 'no_parent' ELSE 'deep_parent' END;
                RAISE SQLSTATE 'DO003';
            END IF;
            task.parent_id := above.id;
            task.list_id := above.list_id;
        END IF;
        IF task.parent_id IS NOT NULL THEN
            has_family := true;
            IF above.completed AND NOT task.completed AND task.deleted_at IS NULL THEN
                reopened := reopened || task.parent_id;
            END IF;
        END IF;
        task.document := CASE WHEN task.deleted_at IS NULL THEN task_document(task) END;
        -- Name the columns: during an upgrade this function may run after a later release has added a column.
        INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                           priority, tags, tag_keys, due_date, due_at, list_id, parent_id, position, created_at,
                           updated_at, version, deleted_at, document)
        VALUES (owner, task.id, task.uid, task.title, task.title_key, task.description, task.description_key,
                task.completed, task.completed_at, task.priority, task.tags, task.tag_keys, task.due_date,
                task.due_at, task.list_id, task.parent_id, task.position, task.created_at, task.updated_at,
                task.version, task.deleted_at, task.document);
    END LOOP;
    thrown := thrown + coalesce(line.trashes, 0);
    IF made > 0 AND owned.list_count + made > list_quota THEN
        outcome := 'full_lists';
        RAISE SQLSTATE 'DO003';
    ELSIF thrown > 0 AND owned.trash_count + thrown > trash_quota THEN
        outcome := 'trash_full';
        RAISE SQLSTATE 'DO003';
    ELSIF imported + made + thrown = 0 THEN
        RETURN;
    END IF;
    -- An open subtask reopens its parent.
    last := before + imported;
    IF reopened <> '{}' THEN
        UPDATE tasks
        SET completed = false, completed_at = NULL, updated_at = moment, version = last + parent.place, document = NULL
        FROM (
            SELECT found.id, row_number() OVER (ORDER BY found.id) AS place
            FROM (SELECT DISTINCT unnest(reopened) AS id) AS found
        ) AS parent
        WHERE tasks.user_id = owner AND tasks.id = parent.id;
        GET DIAGNOSTICS number = ROW_COUNT;
        last := last + number;
    END IF;
    UPDATE users
    SET revision = last, written_at = moment, task_count = users.task_count + coalesce(line.adds, 0),
        trash_count = users.trash_count + thrown, list_count = users.list_count + made,
        has_subtasks = users.has_subtasks OR has_family,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
EXCEPTION WHEN SQLSTATE 'DO003' THEN
    imported := 0;
END
$$;
