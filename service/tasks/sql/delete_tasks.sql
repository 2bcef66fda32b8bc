-- Move live tasks of `owner` to the trash, all or only those with this `completion`, and their subtasks. `list_ids` and
-- `list_uids` name their lists, and `inbox` says whether tasks without a list are among them. If `inbox` is NULL, these are
-- the tasks of all lists but the archived ones, and of the inbox.
--
-- If the trash would have more than `trash_quota` tasks, move none. Returns the number of these tasks (`wanted`) and of
-- moved tasks (`deleted`).
CREATE FUNCTION delete_tasks(
    owner text, owner_email text, owner_name text, completion boolean, trash_quota integer,
    list_ids bigint[], list_uids uuid[], inbox boolean,
    OUT wanted bigint, OUT deleted bigint
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    before bigint;
    moment timestamptz;
    trashed integer;
    named bigint[];  -- the lists that are named; if `inbox` is NULL, the archived ones, whose tasks stay
    gone bigint[];
BEGIN
    deleted := 0;
    SELECT users.revision, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count
    INTO before, moment, trashed
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT coalesce(array_agg(lists.id), '{}') INTO named FROM lists
    WHERE lists.user_id = owner AND deleted_at IS NULL
      AND CASE WHEN inbox IS NULL THEN archived ELSE lists.id = ANY (list_ids) OR lists.uid = ANY (list_uids) END;
    SELECT array_agg(tasks.id ORDER BY coalesce(parent_id, tasks.id), parent_id NULLS FIRST, tasks.id), count(*)
    INTO gone, wanted FROM tasks
    WHERE tasks.user_id = owner AND deleted_at IS NULL AND (completion IS NULL OR completed = completion)
      AND CASE WHEN tasks.list_id IS NULL THEN coalesce(inbox, true)
          ELSE (tasks.list_id = ANY (named)) = (inbox IS NOT NULL) END;
    IF completion IS NOT NULL AND wanted > 0 THEN
        SELECT array_agg(tasks.id ORDER BY coalesce(parent_id, tasks.id), parent_id NULLS FIRST, tasks.id), count(*)
        INTO gone, wanted FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NULL AND (tasks.id = ANY (gone) OR tasks.parent_id = ANY (gone));
    END IF;
    IF wanted = 0 OR trashed + wanted > trash_quota THEN
        RETURN;
    END IF;
    -- Each task gets its own revision, because a page of the change feed may end after any task. A parent
    -- comes directly before its subtasks, see `restore_task`.
    UPDATE tasks
    SET deleted_at = clock, updated_at = moment, version = before + one.place, document = NULL
    FROM unnest(gone) WITH ORDINALITY AS one (id, place)
    WHERE tasks.user_id = owner AND tasks.id = one.id;
    UPDATE users
    SET revision = before + wanted, written_at = moment, task_count = users.task_count - wanted,
        trash_count = users.trash_count + wanted,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    deleted := wanted;
END
$$;
