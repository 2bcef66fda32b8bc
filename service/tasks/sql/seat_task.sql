-- Change list, parent and position of `task`, which is a row in memory, as a write requests. `owner` is its owner, who is
-- locked. A `list` or `parent` is an id or a uid; 'none' stands for the inbox and for the top level; NULL changes nothing.
-- If `placed` is 'at', `place` is the position; otherwise both are as in `place_task`.
--
-- The outcome is NULL, or the rule that the request breaks: `no_list`, `no_parent`, `own_parent` (the
-- parent is the task itself), `deep_parent` (the parent has a parent), `has_children` (a task with subtasks cannot
-- become one), `child_list` (a subtask is in the list of its parent) or `no_anchor`.
CREATE FUNCTION seat_task(
    owner text, task tasks, list text, parent text, placed text, place text, OUT outcome text, OUT seated tasks
) LANGUAGE plpgsql AS $$
DECLARE
    above tasks;
    wanted lists;
    own text;
BEGIN
    seated := task;
    IF parent = 'none' THEN
        seated.parent_id := NULL;
    ELSIF parent IS NOT NULL THEN
        above := find_task(owner, parent);
        IF above.id IS NULL THEN
            outcome := 'no_parent';
            RETURN;
        ELSIF above.id = task.id THEN
            outcome := 'own_parent';
            RETURN;
        ELSIF above.parent_id IS NOT NULL THEN
            outcome := 'deep_parent';
            RETURN;
        ELSIF EXISTS (
            SELECT FROM tasks WHERE tasks.user_id = owner AND tasks.parent_id = task.id AND deleted_at IS NULL
        ) THEN
            outcome := 'has_children';
            RETURN;
        END IF;
        seated.parent_id := above.id;
        seated.list_id := above.list_id;
    END IF;
    IF list IS NOT NULL THEN
        IF list <> 'none' THEN
            wanted := find_list(owner, list);
            IF wanted.id IS NULL THEN
                outcome := 'no_list';
                RETURN;
            END IF;
        END IF;
        IF seated.parent_id IS NOT NULL AND wanted.id IS DISTINCT FROM seated.list_id THEN
            outcome := 'child_list';
            RETURN;
        END IF;
        seated.list_id := wanted.id;
    END IF;
    own := coalesce(seated.position, position_of_id(seated.id));
    IF placed IS NOT NULL AND placed <> 'at' THEN
        place := place_task(owner, coalesce(task.id, 0), own, seated.list_id, seated.parent_id, placed, place);
        IF place IS NULL THEN
            outcome := 'no_anchor';
            RETURN;
        END IF;
    END IF;
    IF placed IS NOT NULL AND own IS DISTINCT FROM place THEN
        seated.position := place;
    END IF;
END
$$;
