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
-- A task with a `recurrence` has in `series` the UUID of its series. A series is copied if the owner has a task of it, or
-- a task with the uid of one of its tasks, live or deleted. Then its tasks in the file get their new uids, and the UUID
-- in `copied` replaces that of the series. (The uids of successors follow from that UUID, so two series must not share
-- it.) With `skip_known`, no series is copied.
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
    later integer := 0;
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
               bool_or(key < position_of_id(before + lines)) OVER () AS is_below,
               NOT skip_known AND series IS NOT NULL
                   AND bool_or(same_uid IS NOT NULL OR same_series) OVER (PARTITION BY series) AS is_copied
        FROM (
            SELECT matched.*, count(*) OVER () AS lines, CASE
                WHEN NOT skip_known THEN NULL WHEN named IS NOT NULL THEN same_uid ELSE same_text END AS skipped
            FROM (
                SELECT either.*, max(known) OVER (PARTITION BY named) AS same_uid,
                       max(known) OVER (PARTITION BY title, created_at) AS same_text,
                       bool_or(known IS NOT NULL) OVER (PARTITION BY series) AS same_series
                FROM (
                    SELECT sent.*, sent.position COLLATE "C" AS key, NULL::bigint[] AS known FROM ROWS FROM (
                        json_to_recordset(convert_from(file_tasks, 'UTF8')::json) AS (
                            uid uuid, named uuid, title text, title_key text, description text, description_key text,
                            completed boolean, completed_at timestamptz, priority smallint, tags text[],
                            tag_keys text[], due_date date, due_at timestamptz, position text, recurrence text,
                            series uuid, copied uuid, created_at timestamptz, updated_at timestamptz,
                            deleted_at timestamptz
                        ), unnest(list_refs), unnest(parent_refs)
                    ) WITH ORDINALITY AS sent (
                        uid, named, title, title_key, description, description_key, completed, completed_at, priority,
                        tags, tag_keys, due_date, due_at, position, recurrence, series, copied, created_at, updated_at,
                        deleted_at, list_ref, parent_ref, place
                    )
                    UNION ALL
                    SELECT NULL, tasks.uid, tasks.title, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                           NULL, NULL, (tasks.recurrence::json ->> 'series')::uuid, NULL, tasks.created_at, NULL, NULL,
                           NULL, NULL, NULL, NULL,
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
        task.uid := CASE WHEN line.same_uid IS NULL AND NOT line.is_copied THEN coalesce(line.named, line.uid)
                         ELSE line.uid END;
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
        task.recurrence := CASE WHEN line.is_copied THEN replace(line.recurrence, line.series::text, line.copied::text)
                                ELSE line.recurrence END;
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
            -- A subtask that was deleted with its parent has a later version than the parent, see `restore_task`.
            IF task.deleted_at IS NOT NULL AND task.parent_id > task.id THEN
                later := later + 1;
                task.version := before + line.adds + line.trashes + later;
            END IF;
            IF above.completed AND NOT task.completed AND task.deleted_at IS NULL THEN
                reopened := reopened || task.parent_id;
            END IF;
        END IF;
        task.document := CASE WHEN task.deleted_at IS NULL THEN task_document(task) END;
        -- Name the columns: during an upgrade this function may run after a later release has added a column.
        INSERT INTO tasks (user_id, id, uid, title, title_key, description, description_key, completed, completed_at,
                           priority, tags, tag_keys, due_date, due_at, list_id, parent_id, position, created_at,
                           updated_at, version, deleted_at, recurrence, document)
        VALUES (owner, task.id, task.uid, task.title, task.title_key, task.description, task.description_key,
                task.completed, task.completed_at, task.priority, task.tags, task.tag_keys, task.due_date,
                task.due_at, task.list_id, task.parent_id, task.position, task.created_at, task.updated_at,
                task.version, task.deleted_at, task.recurrence, task.document);
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
    -- An open subtask reopens its parent, which leaves its series.
    last := before + imported + later;
    IF reopened <> '{}' THEN
        UPDATE tasks
        SET completed = false, completed_at = NULL, recurrence = NULL, updated_at = moment,
            version = last + parent.place, document = NULL
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
