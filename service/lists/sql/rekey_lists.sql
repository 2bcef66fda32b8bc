-- Give new, short positions to the live lists of `owner`, except the list `moved`. Their order stays the same. Each list
-- takes a revision. The caller holds the owner's lock.
CREATE FUNCTION rekey_lists(owner text, moved bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    moment timestamptz;
    number integer;
    spread text[];
BEGIN
    SELECT users.revision, greatest(now(), users.written_at + interval '1 microsecond') INTO before, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT count(*) INTO number FROM lists
    WHERE lists.user_id = owner AND deleted_at IS NULL AND lists.id <> moved;
    spread := positions_spread(number);
    UPDATE lists SET position = spread[sibling.place], updated_at = moment, version = before + sibling.place
    FROM (
        SELECT lists.id, row_number() OVER (
            ORDER BY coalesce(lists.position, position_of_id(lists.id)) COLLATE "C", lists.id
        ) AS place
        FROM lists WHERE lists.user_id = owner AND deleted_at IS NULL AND lists.id <> moved
    ) AS sibling
    WHERE lists.user_id = owner AND lists.id = sibling.id;
    UPDATE users SET revision = before + number, written_at = moment WHERE users.id = owner;
END
$$;
