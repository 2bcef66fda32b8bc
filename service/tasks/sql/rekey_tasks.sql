-- Give new, short positions to the live tasks of `owner` with this list and parent, except the task `moved`. Their order
-- stays the same. Each task takes a revision. The caller holds the owner's lock.
CREATE FUNCTION rekey_tasks(owner text, moved bigint, list bigint, parent bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    moment timestamptz;
    number integer;
    spread text[];
BEGIN
    SELECT users.revision, greatest(now(), users.written_at + interval '1 microsecond') INTO before, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT count(*) INTO number FROM tasks
    WHERE tasks.user_id = owner AND deleted_at IS NULL AND tasks.id <> moved
      AND tasks.list_id IS NOT DISTINCT FROM list AND tasks.parent_id IS NOT DISTINCT FROM parent;
    spread := positions_spread(number);
    UPDATE tasks SET position = spread[sibling.place], updated_at = moment, version = before + sibling.place,
                     document = NULL
    FROM (
        SELECT tasks.id, row_number() OVER (
            ORDER BY coalesce(tasks.position, position_of_id(tasks.id)) COLLATE "C", tasks.id
        ) AS place
        FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NULL AND tasks.id <> moved
          AND tasks.list_id IS NOT DISTINCT FROM list AND tasks.parent_id IS NOT DISTINCT FROM parent
    ) AS sibling
    WHERE tasks.user_id = owner AND tasks.id = sibling.id;
    UPDATE users SET revision = before + number, written_at = moment WHERE users.id = owner;
END
$$;
