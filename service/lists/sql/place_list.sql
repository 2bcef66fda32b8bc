-- Return a position for the list `moved` (0 if it is new) among the live lists of `owner`. The arguments and the result are
-- those of `place_task`. The caller holds the owner's lock.
CREATE FUNCTION place_list(
    owner text, moved bigint, own text, placed text, anchor text, OUT place text
) LANGUAGE plpgsql AS $$
DECLARE
    present CONSTANT text COLLATE "C" := own;
    neighbour lists;
    anchor_key text COLLATE "C";
    low text COLLATE "C";
    high text COLLATE "C";
    bounds record;
    gap integer;  -- the number of lists before the place
BEGIN
    IF anchor IS NOT NULL THEN
        neighbour := find_list(owner, anchor);
        IF neighbour.id IS NULL OR neighbour.id = moved THEN
            RETURN;
        END IF;
    END IF;
    FOR attempt IN 1..2 LOOP
        SELECT coalesce(lists.position, position_of_id(lists.id)) INTO anchor_key
        FROM lists WHERE lists.user_id = owner AND lists.id = neighbour.id;
        SELECT min(sibling.key) AS first, max(sibling.key) AS last,
               min(sibling.key) FILTER (WHERE (sibling.key, sibling.id) > (anchor_key, neighbour.id)) AS next,
               max(sibling.key) FILTER (WHERE (sibling.key, sibling.id) < (anchor_key, neighbour.id)) AS previous,
               count(*) AS number, count(*) FILTER (WHERE (sibling.key, sibling.id) < (anchor_key, neighbour.id)) AS before
        INTO bounds
        FROM (
            SELECT lists.id, coalesce(lists.position, position_of_id(lists.id)) COLLATE "C" AS key FROM lists
            WHERE lists.user_id = owner AND deleted_at IS NULL AND lists.id <> moved
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
        PERFORM rekey_lists(owner, moved, gap);
    END LOOP;
END
$$;
