-- Permanently remove the list `id` from the trash of `owner`; if `id` is NULL, at most `most` lists of the trash that were
-- deleted before `since` (NULL: all). Returns the number of removed lists. `requested` is false for the purge, which the
-- owner did not request, so the revision stays the same.
CREATE FUNCTION destroy_lists(
    owner text, id bigint, most integer, since timestamptz, requested boolean, OUT destroyed bigint
) LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    moment timestamptz;
    gone bigint[];
    newest bigint;
BEGIN
    SELECT users.revision, greatest(now(), users.written_at + interval '1 microsecond') INTO before, moment
    FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT array_agg(found.id), max(found.version), count(*) INTO gone, newest, destroyed
    FROM (
        SELECT lists.id, lists.version FROM lists
        WHERE lists.user_id = owner AND deleted_at IS NOT NULL AND (since IS NULL OR deleted_at < since)
          AND (destroy_lists.id IS NULL OR lists.id = destroy_lists.id)
        LIMIT most
    ) AS found;
    IF destroyed = 0 THEN
        RETURN;
    END IF;
    DELETE FROM lists WHERE lists.user_id = owner AND lists.id = ANY (gone);
    -- The change feed can no longer report these deletions to a reader before the revision `forgotten`.
    UPDATE users
    SET revision = CASE WHEN requested THEN before + 1 ELSE before END,
        written_at = CASE WHEN requested THEN moment ELSE users.written_at END,
        trash_count = users.trash_count - destroyed, forgotten = greatest(users.forgotten, newest)
    WHERE users.id = owner;
END
$$;
