-- Keep the answer to the idempotency key of `owner`; raise DO002 when more than `most_keys` or `most_bytes` would be kept.
-- What is older than `lifetime` makes room first: the same key, and the oldest others. A part of the functions that write
-- once.
CREATE FUNCTION keep_answer(
    owner text, route text, key text, digest bytea, request_id text, answer text, lifetime interval,
    most_keys integer, most_bytes bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    clock CONSTANT timestamptz := now();
    since CONSTANT timestamptz := clock - lifetime;
    owned users;
    keys bigint;
    bytes bigint;
    expired_keys bigint := 0;
    expired_bytes bigint := 0;
    added bigint;
BEGIN
    -- A user whose first request wrote nothing gets a row too: the key must belong to one.
    owned := lock_owner(owner, NULL, NULL);
    IF EXISTS (SELECT FROM idempotency_keys AS old WHERE old.user_id = owner AND old.created_at <= since) THEN
        WITH expired AS (
            DELETE FROM idempotency_keys AS old
            WHERE old.user_id = owner AND old.created_at <= since
              AND ((old.route, old.key) = (keep_answer.route, keep_answer.key) OR old.created_at <= (
                  SELECT max(oldest.created_at) FROM (
                      SELECT known.created_at FROM idempotency_keys AS known
                      WHERE known.user_id = owner AND known.created_at <= since
                      ORDER BY known.created_at LIMIT 100
                  ) AS oldest
              ))
            RETURNING old.size
        )
        SELECT count(*), coalesce(sum(expired.size), 0) INTO expired_keys, expired_bytes FROM expired;
    END IF;
    INSERT INTO idempotency_keys (user_id, route, key, body_digest, request_id, answer, created_at)
    VALUES (owner, route, key, digest, request_id, answer, clock)
    RETURNING size INTO added;
    keys := owned.answer_count + 1 - expired_keys;
    bytes := owned.answer_bytes + added - expired_bytes;
    IF keys > most_keys OR bytes > most_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'DO002';  -- the caller undoes the effect too
    END IF;
    UPDATE users SET answer_count = keys, answer_bytes = bytes WHERE users.id = owner;
END
$$;
