-- Store the answer to an idempotency key of `owner`. Raise DO002 if the owner would have more than `most_keys` keys or
-- `most_bytes` bytes. First remove answers older than `lifetime`: the one to the same key, and up to 100 of the oldest.
-- `perform_once` and `import_once` call this function.
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
    -- A user without a row gets one, even if the request wrote no task, because a key references its user.
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
        RAISE EXCEPTION USING ERRCODE = 'DO002';  -- the caller also rolls back its write
    END IF;
    UPDATE users SET answer_count = keys, answer_bytes = bytes WHERE users.id = owner;
END
$$;
