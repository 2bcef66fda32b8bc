-- Create a list of `owner`. The outcome is `done`, `full_lists` (the owner already has `quota` live lists) or
-- `no_anchor`; see `seat_list`. If the client chose the `uid` (`is_named`), the outcome is `known` if a live list has it
-- already, with that list as the result, and `in_trash` if a deleted list has it.
CREATE FUNCTION create_list(
    owner text, owner_email text, owner_name text, quota integer, uid uuid, is_named boolean,
    name text, color text, archived boolean, placed text, place text,
    OUT outcome text, OUT list_id bigint, OUT list_version bigint, OUT list_uid text, OUT document text
) LANGUAGE plpgsql AS $$
DECLARE
    owned users;
    list lists;
    seat record;
BEGIN
    owned := lock_owner(owner, owner_email, owner_name);
    IF is_named THEN
        SELECT * INTO list FROM lists WHERE lists.user_id = owner AND lists.uid = create_list.uid;
        IF list.id IS NOT NULL THEN
            outcome := CASE WHEN list.deleted_at IS NULL THEN 'known' ELSE 'in_trash' END;
            list_id := list.id;
            list_version := list.version;
            list_uid := list.uid;
            document := list_document(list);
            RETURN;
        END IF;
    END IF;
    IF owned.list_count >= quota THEN
        outcome := 'full_lists';
        RETURN;
    END IF;
    seat := seat_list(owner, list, placed, place);
    IF seat.outcome IS NOT NULL THEN
        outcome := seat.outcome;
        RETURN;
    END IF;
    list := seat.seated;
    -- New positions of the other lists have taken revisions.
    SELECT users.revision + 1, greatest(now(), users.written_at + interval '1 microsecond')
    INTO list.id, list.created_at
    FROM users WHERE users.id = owner;
    list.user_id := owner;
    list.uid := uid;
    list.name := name;
    list.color := color;
    list.archived := archived;
    list.updated_at := list.created_at;
    list.version := list.id;
    INSERT INTO lists (user_id, id, uid, name, color, position, archived, created_at, updated_at, version)
    VALUES (owner, list.id, list.uid, list.name, list.color, list.position, list.archived, list.created_at,
            list.updated_at, list.version);
    UPDATE users
    SET revision = list.id, written_at = list.created_at, list_count = users.list_count + 1,
        email = coalesce(owner_email, users.email), name = coalesce(owner_name, users.name)
    WHERE users.id = owner;
    outcome := 'done';
    list_id := list.id;
    list_version := list.id;
    list_uid := list.uid;
    document := list_document(list);
END
$$;
