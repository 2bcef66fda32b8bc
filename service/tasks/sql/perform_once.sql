-- Call `perform_batch` once for each idempotency key, and store its result in the same transaction. A write of a single
-- task is an `atomic` batch with one operation.
--
-- The outcome is `done`, `again` (this request was performed before), `refused` (the batch was rolled back and the key
-- stays unused), `busy` or `reused` (see `find_answer`), or `full` (the answer would exceed the quota, and nothing is
-- written). For the first three, `answer` is the result of `perform_batch` as JSON, and `answered` is the id of the
-- request that was performed. A batch with an operation that is `unplanned` is `refused`.
CREATE FUNCTION perform_once(
    owner text, owner_email text, owner_name text, route text, key text, digest bytea, request_id text,
    lifetime interval, most_keys integer, most_bytes bigint,
    quota integer, trash_quota integer, atomic boolean, operations text,
    OUT outcome text, OUT answered text, OUT answer text
) LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    SELECT known.outcome, known.request_id, known.answer INTO outcome, answered, answer
    FROM find_answer(owner, route, key, digest, lifetime) AS known;
    IF outcome <> 'new' THEN
        RETURN;
    END IF;
    done := perform_batch(owner, owner_email, owner_name, quota, trash_quota, atomic, operations);
    answered := request_id;
    -- The documents are embedded as JSON, so they remain byte for byte the same.
    answer := json_build_object(
        'outcomes', done.outcomes, 'versions', done.versions, 'documents', done.documents::json[]);
    IF 'unplanned' = ANY (done.outcomes) OR atomic AND NOT done.outcomes <@ '{done,known}' THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;
