-- Change a live task of `owner`. A value of NULL leaves its column unchanged. For a column that can be NULL, `sets_…`
-- says whether to set it. The outcomes are those of `complete_task` and of `seat_task`. `seat` has the last four
-- arguments of that function, and those that `arrange_task` describes, or is NULL. If nothing changes, nothing is
-- written. `arrange_task` writes list, parent, position and recurrence, and `carry_family` the task's family.
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
    IF seat IS NOT NULL OR task.recurrence IS NOT NULL THEN
        seating := arrange_task(owner, task, seat, completed, sets_due_date OR sets_due_at);
        outcome := seating.outcome;
        IF outcome IS NOT NULL THEN
            task_version := seating.task_version;
            document := seating.document;
            RETURN;
        END IF;
        task := seating.arranged;
        advanced := seating.advanced;
        moment := seating.moment;
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
    document := task_document(task);
    UPDATE tasks
    SET title = task.title, title_key = task.title_key, description = task.description,
        description_key = task.description_key, completed = task.completed, completed_at = task.completed_at,
        priority = task.priority, tags = task.tags, tag_keys = task.tag_keys, due_date = task.due_date,
        due_at = task.due_at, updated_at = moment, version = advanced, document = update_task.document
    WHERE tasks.user_id = owner AND tasks.id = update_task.id;
    task_version := advanced;
    IF has_family OR seat IS NOT NULL THEN
        -- These conditions are separate, because PostgreSQL prepares each expression as a whole.
        IF completed <> was.completed OR coalesce(seat[1], seat[2]) IS NOT NULL THEN
            advanced := carry_family(owner, task, was, moment, advanced);
        END IF;
        IF seat[7] IS NOT NULL THEN
            advanced := write_successor(owner, task, seat, moment, advanced);
        END IF;
    END IF;
    UPDATE users
    SET revision = advanced, written_at = moment,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
END
$$;
