-- Move a live list of `owner` to the trash, and its tasks to the inbox or to the trash, as `contents` says ('inbox' or
-- 'trash'). The outcomes are those of `complete_task`, and `has_tasks` (the list has tasks and `contents` is NULL;
-- `list_version` is their number) and `full` (the trash would have more than `trash_quota` lists and tasks).
CREATE FUNCTION delete_list(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    contents text, trash_quota integer,
    OUT outcome text, OUT list_id bigint, OUT list_version bigint, OUT list_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    advanced bigint;
    moment timestamptz;
    trashed integer;
    members integer;
    thrown integer := 0;
    list lists;
BEGIN
    SELECT users.revision + 1, greatest(clock, users.written_at + interval '1 microsecond'), users.trash_count
    INTO advanced, moment, trashed
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO list FROM lists WHERE lists.user_id = owner AND lists.id = delete_list.id AND deleted_at IS NULL;
    IF list.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    list_id := id;
    list_uid := list.uid;
    list_version := list.version;
    IF list.version <> ALL (expected) OR list.version = ANY (excluded) THEN
        outcome := 'mismatch';
        document := list_document(list);
        RETURN;
    END IF;
    SELECT count(*) INTO members FROM tasks
    WHERE tasks.user_id = owner AND tasks.list_id = delete_list.id AND tasks.deleted_at IS NULL;
    IF members > 0 AND contents IS NULL THEN
        outcome := 'has_tasks';
        list_version := members;
        RETURN;
    ELSIF contents = 'trash' THEN
        thrown := members;
    END IF;
    IF trashed + thrown >= trash_quota THEN
        outcome := 'full';
        RETURN;
    END IF;
    UPDATE lists SET deleted_at = clock, updated_at = moment, version = advanced
    WHERE lists.user_id = owner AND lists.id = delete_list.id;
    -- Each task gets its own revision, and a parent comes before its subtasks, see `restore_task`. In the trash, a task
    -- keeps its list, so that a restored list gets its tasks back.
    UPDATE tasks
    SET list_id = CASE WHEN contents = 'trash' THEN tasks.list_id END,
        deleted_at = CASE WHEN contents = 'trash' THEN clock END,
        updated_at = moment, version = advanced + member.place, document = NULL,
        followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
    FROM (
        SELECT tasks.id, row_number() OVER (ORDER BY tasks.parent_id NULLS FIRST, tasks.id) AS place FROM tasks
        WHERE tasks.user_id = owner AND tasks.list_id = delete_list.id AND tasks.deleted_at IS NULL
    ) AS member
    WHERE tasks.user_id = owner AND tasks.id = member.id;
    UPDATE users
    SET revision = advanced + members, written_at = moment, list_count = users.list_count - 1,
        task_count = users.task_count - thrown, trash_count = users.trash_count + 1 + thrown,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    list_version := advanced;
    outcome := 'done';
END
$$;
