-- Call `import_tasks` once for each idempotency key. `perform_once` describes the outcomes. `answer` is the result of
-- `import_tasks`, as JSON.
CREATE FUNCTION import_once(
    owner text, owner_email text, owner_name text, route text, key text, digest bytea, request_id text,
    lifetime interval, most_keys integer, most_bytes bigint,
    quota integer, trash_quota integer, list_quota integer, skip_known boolean, file_lists bytea, file_tasks bytea,
    list_refs text[], parent_refs text[],
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
    done := import_tasks(
        owner, owner_email, owner_name, quota, trash_quota, list_quota, skip_known, file_lists, file_tasks, list_refs,
        parent_refs);
    answered := request_id;
    answer := json_build_object('outcome', done.outcome, 'imported', done.imported, 'place', done.place);
    IF done.outcome <> 'done' THEN
        outcome := 'refused';
    ELSE
        outcome := 'done';
        PERFORM keep_answer(owner, route, key, digest, request_id, answer, lifetime, most_keys, most_bytes);
    END IF;
EXCEPTION WHEN SQLSTATE 'DO002' THEN
    outcome := 'full';
END
$$;
