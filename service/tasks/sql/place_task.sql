-- Return a position for the task `moved` (0 if it is new) among the live tasks of `owner` with this list and parent:
-- directly `after` or `before` the sibling that `anchor` names, an id or a uid. Without an anchor, `after` stands for the
-- end and `before` for the start. Returns NULL if `anchor` names no sibling. If the present position, `own`, is in this
-- place, returns it, so that a repeated request changes nothing.
--
-- If there is no room between the neighbours, siblings get new positions first: see `positions_apart`. There is no room if
-- both have the same position, which is allowed, or if the result would have more than 100 characters.
CREATE FUNCTION place_task(
    owner text, moved bigint, own text, list bigint, parent bigint, placed text, anchor text, OUT place text
) LANGUAGE plpgsql AS $$
DECLARE
    present CONSTANT text COLLATE "C" := own;
    neighbour tasks;
    anchor_key text COLLATE "C";
    low text COLLATE "C";
    high text COLLATE "C";
    bounds record;
    gap integer;  -- the number of siblings before the place
BEGIN
    IF anchor IS NOT NULL THEN
        neighbour := find_task(owner, anchor);
        IF neighbour.id IS NULL OR neighbour.id = moved OR neighbour.list_id IS DISTINCT FROM list
           OR neighbour.parent_id IS DISTINCT FROM parent THEN
            RETURN;
        END IF;
    END IF;
    FOR attempt IN 1..2 LOOP
        SELECT coalesce(tasks.position, position_of_id(tasks.id)) INTO anchor_key
        FROM tasks WHERE tasks.user_id = owner AND tasks.id = neighbour.id;
        SELECT min(sibling.key) AS first, max(sibling.key) AS last,
               min(sibling.key) FILTER (WHERE (sibling.key, sibling.id) > (anchor_key, neighbour.id)) AS next,
               max(sibling.key) FILTER (WHERE (sibling.key, sibling.id) < (anchor_key, neighbour.id)) AS previous,
               count(*) AS number, count(*) FILTER (WHERE (sibling.key, sibling.id) < (anchor_key, neighbour.id)) AS before
        INTO bounds
        FROM (
            SELECT tasks.id, coalesce(tasks.position, position_of_id(tasks.id)) COLLATE "C" AS key FROM tasks
            WHERE tasks.user_id = owner AND deleted_at IS NULL AND tasks.id <> moved
              AND tasks.list_id IS NOT DISTINCT FROM list AND tasks.parent_id IS NOT DISTINCT FROM parent
        ) AS sibling;
        IF placed = 'after' THEN
            low := CASE WHEN anchor IS NULL THEN bounds.last ELSE anchor_key END;
            high := bounds.next;
            gap := CASE WHEN anchor IS NULL THEN bounds.number ELSE bounds.before + 1 END;
        ELSE
            low := bounds.previous;
            high := CASE WHEN anchor IS NULL THEN bounds.first ELSE anchor_key END;
            gap := bounds.before;
        END IF;
        IF (low IS NULL OR low < present) AND (high IS NULL OR present < high) AND present IS NOT NULL THEN
            place := own;
        ELSIF low >= high THEN
            place := NULL;
        ELSE
            place := position_between(low, high);
        END IF;
        EXIT WHEN length(place) <= 100;
        PERFORM rekey_tasks(owner, moved, list, parent, gap);
    END LOOP;
END
$$;
