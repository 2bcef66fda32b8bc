-- Take the idempotency key of `owner` until the end of the transaction, and find the answer that was given to it within
-- `lifetime`. The outcome is `busy` while another transaction holds the key, `found`, or `new`.
CREATE FUNCTION find_answer(
    owner text, route text, key text, lifetime interval,
    OUT outcome text, OUT digest bytea, OUT status smallint, OUT headers text, OUT body text
) LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := now() - lifetime;
BEGIN
    -- A second request with the same key need not wait: it is the same one, and under way.
    IF NOT pg_try_advisory_xact_lock(hashtextextended(concat_ws(chr(31), owner, route, key), 0)) THEN
        outcome := 'busy';
        RETURN;
    END IF;
    -- Only a statement after the lock sees what its last holder has committed.
    SELECT kept.body_digest, kept.status, kept.headers::text, kept.body INTO digest, status, headers, body
    FROM idempotency_keys AS kept
    WHERE kept.user_id = owner AND kept.route = find_answer.route AND kept.key = find_answer.key
      AND kept.created_at > since;
    outcome := CASE WHEN found THEN 'found' ELSE 'new' END;
END
$$;
