-- Lock the idempotency key of `owner` until the end of the transaction, and find its answer if it is newer than
-- `lifetime`. `perform_once` and `import_once` call this function.
--
-- The outcome is `busy` (another transaction holds the key), `new` (there is no answer), `reused` (the answer belongs
-- to a request with another `digest`) or `again`. For `again`, the result has the answer and the id of its request.
CREATE FUNCTION find_answer(
    owner text, route text, key text, digest bytea, lifetime interval,
    OUT outcome text, OUT request_id text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := now() - lifetime;
    kept_digest bytea;
BEGIN
    -- A second request with the same key does not wait, because the first one is still in progress.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(chr(31), owner, route, key), 0)) THEN
        outcome := 'busy';
        RETURN;
    END IF;
    -- A statement after the lock sees the commit of the previous holder; the statement that takes the lock may not.
    SELECT kept.body_digest, kept.request_id, kept.answer INTO kept_digest, request_id, answer
    FROM idempotency_keys AS kept
    WHERE kept.user_id = owner AND kept.route = find_answer.route AND kept.key = find_answer.key
      AND kept.created_at > since;
    IF kept_digest IS NULL THEN
        outcome := 'new';
    ELSIF kept_digest <> digest THEN
        outcome := 'reused';
        request_id := NULL;
        answer := NULL;
    ELSE
        outcome := 'again';
    END IF;
END
$$;
