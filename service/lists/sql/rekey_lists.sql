-- Give new positions to live lists of `owner`, except the list `moved`, so that there is room after the first `gap` of
-- them: see `positions_apart`. Their order stays the same. Each list with a new position takes a revision. The caller holds
-- the owner's lock.
CREATE FUNCTION rekey_lists(owner text, moved bigint, gap integer) RETURNS void LANGUAGE plpgsql AS $$
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
        SELECT lists.id, coalesce(lists.position, position_of_id(lists.id)) COLLATE "C" AS key FROM lists
        WHERE lists.user_id = owner AND deleted_at IS NULL AND lists.id <> moved
    ) AS sibling;
    fresh := positions_apart(keys, gap);
    UPDATE lists SET position = sibling.key, version = before + sibling.number, updated_at = moment
    FROM (
        SELECT one.id, one.key, row_number() OVER (ORDER BY one.place) AS number
        FROM unnest(ids, keys, fresh) WITH ORDINALITY AS one (id, was, key, place)
        WHERE one.was <> one.key
    ) AS sibling
    WHERE lists.user_id = owner AND lists.id = sibling.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    UPDATE users SET revision = before + written, written_at = moment WHERE users.id = owner;
END
$$;
