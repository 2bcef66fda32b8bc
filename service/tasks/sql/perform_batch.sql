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
