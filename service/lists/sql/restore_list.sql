-- Restore a list of `owner` from the trash, with the tasks that were deleted together with it. The outcome is `done`,
-- `missing`, `full_lists` (the owner already has `quota` live lists) or `full` (the owner would have more than
-- `task_quota` live tasks).
CREATE FUNCTION restore_list(
    owner text, owner_email text, owner_name text, id bigint, quota integer, task_quota integer,
    OUT outcome text, OUT list_id bigint, OUT list_version bigint, OUT list_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    owned users;
    moment timestamptz;
    members integer;
    back bigint[];
    since timestamptz;
    list lists;
BEGIN
    SELECT * INTO owned FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    moment := greatest(now(), owned.written_at + interval '1 microsecond');
    SELECT * INTO list FROM lists
    WHERE lists.user_id = owner AND lists.id = restore_list.id AND deleted_at IS NOT NULL;
    IF list.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    since := list.deleted_at;
    SELECT count(*), array_agg(tasks.id) INTO members, back FROM tasks
    WHERE tasks.user_id = owner AND tasks.list_id = restore_list.id AND tasks.deleted_at = since
      AND tasks.version > greatest(list.version, owned.erased);
    IF owned.list_count >= quota THEN
        outcome := 'full_lists';
        RETURN;
    ELSIF members > 0 AND owned.task_count + members > task_quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    list.version := owned.revision + 1;
    list.updated_at := moment;
    UPDATE lists SET deleted_at = NULL, updated_at = moment, version = list.version
    WHERE lists.user_id = owner AND lists.id = restore_list.id;
    -- A subtask whose parent has been removed from the trash becomes a top-level task.
    UPDATE tasks
    SET deleted_at = NULL, parent_id = CASE WHEN parent_id = ANY (back) THEN parent_id END, updated_at = moment,
        version = list.version + member.place,
        followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
    FROM (
        SELECT tasks.id, row_number() OVER (ORDER BY tasks.id) AS place FROM tasks
        WHERE tasks.user_id = owner AND tasks.id = ANY (back)
    ) AS member
    WHERE tasks.user_id = owner AND tasks.id = member.id;
    UPDATE users
    SET revision = list.version + members, written_at = moment, list_count = users.list_count + 1,
        task_count = users.task_count + members, trash_count = users.trash_count - 1 - members,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
    list_id := id;
    list_version := list.version;
    list_uid := list.uid;
    document := list_document(list);
END
$$;
