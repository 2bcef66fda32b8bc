-- Give new positions to live tasks of `owner` with this list and parent, except the task `moved`, so that there is room
-- after the first `gap` of them: see `positions_apart`. Their order stays the same. Each task with a new position takes a
-- revision. The caller holds the owner's lock.
CREATE FUNCTION rekey_tasks(owner text, moved bigint, list bigint, parent bigint, gap integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    moment timestamptz;
    ids bigint[];
    keys text[];
    fresh text[];
    written integer;
BEGIN
    SELECT users.revision, greatest(now(), users.written_at + interval '1 microsecond') INTO before, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT array_agg(sibling.id ORDER BY sibling.key, sibling.id), array_agg(sibling.key ORDER BY sibling.key, sibling.id)
    INTO ids, keys
    FROM (
        SELECT tasks.id, coalesce(tasks.position, position_of_id(tasks.id)) COLLATE "C" AS key FROM tasks
        WHERE tasks.user_id = owner AND deleted_at IS NULL AND tasks.id <> moved
          AND tasks.list_id IS NOT DISTINCT FROM list AND tasks.parent_id IS NOT DISTINCT FROM parent
    ) AS sibling;
    fresh := positions_apart(keys, gap);
    UPDATE tasks
    SET position = sibling.key, version = before + sibling.number, updated_at = moment, document = NULL,
        followed_at = CASE WHEN tasks.updated_at = coalesce(tasks.followed_at, tasks.created_at) THEN moment END
    FROM (
        SELECT one.id, one.key, row_number() OVER (ORDER BY one.place) AS number
        FROM unnest(ids, keys, fresh) WITH ORDINALITY AS one (id, was, key, place)
        WHERE one.was <> one.key
    ) AS sibling
    WHERE tasks.user_id = owner AND tasks.id = sibling.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    UPDATE users SET revision = before + written, written_at = moment WHERE users.id = owner;
END
$$;
