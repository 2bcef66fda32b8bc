-- Remove the `most` oldest stored answers of `owner` that are older than `older_than`. Returns their number.
CREATE FUNCTION forget_answers(owner text, older_than interval, most integer, OUT purged bigint) LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := now() - older_than;
    bytes bigint;
BEGIN
    PERFORM FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    WITH gone AS (
        DELETE FROM idempotency_keys AS old
        WHERE old.user_id = owner AND (old.route, old.key) IN (
            SELECT known.route, known.key FROM idempotency_keys AS known
            WHERE known.user_id = owner AND known.created_at < since
            ORDER BY known.created_at LIMIT most
        )
        RETURNING old.size
    )
    SELECT count(*), sum(gone.size) INTO purged, bytes FROM gone;
    IF purged > 0 THEN
        UPDATE users SET answer_count = users.answer_count - purged, answer_bytes = users.answer_bytes - bytes
        WHERE users.id = owner;
    END IF;
END
$$;
