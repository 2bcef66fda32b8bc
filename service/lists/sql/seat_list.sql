-- Change the position of `list`, which is a row in memory, as a write requests; `owner`, who is locked, owns it. If
-- `placed` is 'at', `place` is the position; otherwise both are as in `place_task`. The outcome is NULL, or `no_anchor`.
CREATE FUNCTION seat_list(
    owner text, list lists, placed text, place text, OUT outcome text, OUT seated lists
) LANGUAGE plpgsql AS $$
DECLARE
    own text;
BEGIN
    seated := list;
    own := coalesce(seated.position, position_of_id(seated.id));
    IF placed IS NOT NULL AND placed <> 'at' THEN
        place := place_list(owner, coalesce(list.id, 0), own, placed, place);
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
