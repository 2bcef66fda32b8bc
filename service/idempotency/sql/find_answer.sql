-- Take the idempotency key of `owner` until the end of the transaction, and find the answer that was given to it within
-- `lifetime`. A part of the functions that write once.
--
-- The outcome is `busy` while another transaction holds the key, `new`, `reused` when the answer was to a request with
-- another `digest`, or `again`; only then the answer is returned, and the id of the request that got it.
CREATE FUNCTION find_answer(
    owner text, route text, key text, digest bytea, lifetime interval,
    OUT outcome text, OUT request_id text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := now() - lifetime;
    kept_digest bytea;
BEGIN
    -- A second request with the same key need not wait: it is the same one, and under way.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(chr(31), owner, route, key), 0)) THEN
        outcome := 'busy';
        RETURN;
    END IF;
    -- Only a statement after the lock sees what its last holder has committed.
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
