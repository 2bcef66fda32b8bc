-- Perform many writes of `owner` in the order of `operations`, a JSON array of objects with a `verb` and its arguments.
-- Each operation sees the writes of the earlier ones. Returns the outcome, version and document of each operation.
--
-- If `atomic`, the first operation that fails rolls all of them back, and its outcome is the last one in the result. If an
-- operation is `unplanned`, all are rolled back, so that the caller can add the plans and try again.
CREATE FUNCTION perform_batch(
    owner text, owner_email text, owner_name text, quota integer, trash_quota integer, atomic boolean, operations text,
    OUT outcomes text[], OUT versions bigint[], OUT documents text[]
) LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
    operation record;
    seat text[];
    is_unplanned boolean := false;
    done record;
BEGIN
    -- The lock excludes other writes between two operations. A new owner gets a row to lock if there is something to
    -- create; otherwise `newest` is NULL, and nothing is there to write. An id that the batch itself has assigned is not
    -- accepted, because the client can only have guessed it; a uid is.
    SELECT users.revision INTO newest FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    IF newest IS NULL AND operations LIKE '%"create%' THEN
        newest := (lock_owner(owner, owner_email, owner_name)).revision;
    END IF;
    FOR operation IN
        SELECT * FROM json_to_recordset(operations::json) AS sent (
            verb text, id bigint, ref uuid, expected bigint[], excluded bigint[], uid uuid, is_named boolean,
            columns text[], title text, title_key text, description text, description_key text, completed boolean,
            priority smallint, tags text[], tag_keys text[], due_date text, due_at text, list_id text, parent_id text,
            placed text, place text, plan text[], name text, color text, archived boolean, contents text, list_quota integer
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
        IF coalesce(operation.list_id, operation.parent_id, operation.placed) IS NOT NULL
           OR operation.plan IS NOT NULL THEN
            seat := ARRAY[operation.list_id, operation.parent_id, operation.placed, operation.place] || operation.plan;
        END IF;
        IF newest IS NULL OR (operation.id IS NULL AND operation.verb NOT IN ('create', 'create_list'))
           OR (operation.ref IS NULL AND operation.id > newest) THEN
            SELECT 'missing' AS outcome, NULL::bigint AS task_version, NULL AS document INTO done;
        ELSIF operation.verb = 'create' THEN
            done := create_task(
                owner, owner_email, owner_name, quota, operation.uid, operation.title, operation.title_key,
                operation.description, operation.description_key, coalesce(operation.completed, false),
                coalesce(operation.priority, 0::smallint), coalesce(operation.tags, '{}'),
                coalesce(operation.tag_keys, '{}'), operation.due_date, operation.due_at,
                coalesce(operation.is_named, false), seat);
        ELSIF operation.verb IN ('update', 'skip') OR operation.verb = 'complete' AND operation.plan IS NOT NULL THEN
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
        is_unplanned := is_unplanned OR done.outcome = 'unplanned';
        IF atomic AND done.outcome NOT IN ('done', 'known', 'unplanned') THEN
            RAISE EXCEPTION USING ERRCODE = 'DO001';  -- rolls back the writes of this block, but keeps its variables
        END IF;
    END LOOP;
    IF is_unplanned THEN
        RAISE EXCEPTION USING ERRCODE = 'DO001';
    END IF;
EXCEPTION WHEN SQLSTATE 'DO001' THEN
    RETURN;
END
$$;
