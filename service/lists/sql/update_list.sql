-- Change a live list of `owner`. A value of NULL leaves its column unchanged; `sets_color` says whether to set the color.
-- The outcomes are those of `complete_task`, and `no_anchor`; see `seat_list`. If nothing changes, nothing is written.
CREATE FUNCTION update_list(
    owner text, owner_email text, owner_name text, id bigint, expected bigint[], excluded bigint[],
    name text, sets_color boolean, color text, archived boolean, placed text, place text,
    OUT outcome text, OUT list_id bigint, OUT list_version bigint, OUT list_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    list lists;
    was lists;
    seat record;
BEGIN
    PERFORM FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    SELECT * INTO list FROM lists WHERE lists.user_id = owner AND lists.id = update_list.id AND deleted_at IS NULL;
    IF list.id IS NULL THEN
        outcome := 'missing';
        RETURN;
    END IF;
    list_id := id;
    list_uid := list.uid;
    list_version := list.version;
    IF list.version <> ALL (expected) OR list.version = ANY (excluded) THEN
        outcome := 'mismatch';
        document := list_document(list);
        RETURN;
    END IF;
    was := list;
    seat := seat_list(owner, list, placed, place);
    IF seat.outcome IS NOT NULL THEN
        outcome := seat.outcome;
        RETURN;
    END IF;
    list := seat.seated;
    list.name := coalesce(name, list.name);
    list.color := CASE WHEN sets_color THEN color ELSE list.color END;
    list.archived := coalesce(archived, list.archived);
    outcome := 'done';
    IF list IS NOT DISTINCT FROM was THEN
        document := list_document(list);
        RETURN;
    END IF;
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond')
    INTO list.version, list.updated_at
    FROM users WHERE users.id = owner;
    UPDATE lists
    SET name = list.name, color = list.color, archived = list.archived, position = list.position,
        updated_at = list.updated_at, version = list.version
    WHERE lists.user_id = owner AND lists.id = update_list.id;
    UPDATE users
    SET revision = list.version, written_at = list.updated_at,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    list_version := list.version;
    document := list_document(list);
END
$$;
