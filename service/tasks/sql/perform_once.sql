-- Do `operations` as `perform_batch` does, once for each idempotency key: effect and answer are kept together, or neither.
-- A request for a single task is an `atomic` batch of one.
--
-- Outcomes: `done`; `again` when this request was answered before; `refused` when the batch was undone, which leaves the
-- key unused; `busy` and `reused` as in `find_answer`; `full` when there is no room for the answer, and nothing was done.
-- The first three give the `answer`, what `perform_batch` returned as JSON, and the id of the request that it was for.
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
    -- As JSON within JSON, the documents stay as they are to the last byte.
    answer := json_build_object(
        'outcomes', done.outcomes, 'versions', done.versions, 'documents', done.documents::json[]);
    IF atomic AND 'done' <> ANY (done.outcomes) THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;
