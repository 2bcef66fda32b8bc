-- Create the lists of a file for `owner`, as `import_tasks` describes; it holds the owner's lock. `file` is a JSON array of
-- objects (UTF-8). The list at place n, from 1, gets the revision `before` + n if it is created.
--
-- The results by place are `ids`, and `live_ids` with NULL for a deleted list. A list that is by name and not there has
-- NULL in both, its name in `names`, and a new uid in `uids`; if several lists have the name, the id is 0. `made` and `thrown` count the
-- created live and deleted lists.
CREATE FUNCTION import_lists(
    owner text, moment timestamptz, before bigint, skip_known boolean, file bytea,
    OUT ids bigint[], OUT live_ids bigint[], OUT names text[], OUT uids uuid[], OUT made integer, OUT thrown integer
) LANGUAGE plpgsql AS $$
DECLARE
    item record;
    list lists;
    spread text[];
BEGIN
    ids := '{}';
    live_ids := '{}';
    names := '{}';
    uids := '{}';
    made := 0;
    thrown := 0;
    FOR item IN
        SELECT matched.*, count(*) OVER () AS number, row_number() OVER (ORDER BY key, place) AS rank,
               bool_or(key < position_of_id(before + place)) OVER () AS is_below
        FROM (
            -- A window function matches the lists, as in `import_tasks`.
            SELECT either.*, max(known) OVER (PARTITION BY named) AS there
            FROM (
                SELECT found.*, found.position COLLATE "C" AS key, NULL::bigint[] AS known FROM ROWS FROM (
                    json_to_recordset(convert_from(file, 'UTF8')::json) AS (
                        uid uuid, named uuid, name text, is_by_name boolean, color text, archived boolean,
                        position text, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
                    )
                ) WITH ORDINALITY AS found (
                    uid, named, name, is_by_name, color, archived, position, created_at, updated_at, deleted_at, place
                )
                UNION ALL
                SELECT NULL, lists.uid, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                       ARRAY[lists.id, (lists.deleted_at IS NULL)::integer]
                FROM lists WHERE lists.user_id = owner
            ) AS either
        ) AS matched
        WHERE place IS NOT NULL
        ORDER BY place
    LOOP
        list := NULL;
        IF item.is_by_name THEN
            names[item.place] := item.name;
            uids[item.place] := item.uid;
            SELECT CASE count(*) WHEN 0 THEN NULL WHEN 1 THEN min(lists.id) ELSE 0 END INTO list.id
            FROM lists WHERE lists.user_id = owner AND lists.name = item.name AND lists.deleted_at IS NULL;
        ELSIF item.there IS NOT NULL AND skip_known THEN
            list.id := item.there[1];
            list.deleted_at := CASE WHEN item.there[2] = 0 THEN now() END;
        ELSE
            list.uid := CASE WHEN item.there IS NULL THEN coalesce(item.named, item.uid) ELSE item.uid END;
            list.id := before + item.place;
            -- If a position of the file would sort before a list that is created later, the lists of the file get new
            -- positions in the same order.
            IF item.is_below AND spread IS NULL THEN
                spread := positions_spread(item.number::integer);
            END IF;
            list.position := CASE WHEN item.key IS NULL THEN NULL WHEN item.is_below THEN spread[item.rank]
                                  ELSE nullif(item.key, position_of_id(list.id)) END;
            list.deleted_at := CASE WHEN item.deleted_at IS NOT NULL THEN least(item.deleted_at, now()) END;
            INSERT INTO lists (user_id, id, uid, name, color, position, archived, created_at, updated_at, version,
                               deleted_at)
            VALUES (owner, list.id, list.uid, item.name, item.color, list.position, coalesce(item.archived, false),
                    coalesce(item.created_at, moment), coalesce(item.updated_at, moment), list.id, list.deleted_at);
            made := made + (list.deleted_at IS NULL)::integer;
            thrown := thrown + (list.deleted_at IS NOT NULL)::integer;
        END IF;
        ids[item.place] := list.id;
        live_ids[item.place] := CASE WHEN list.deleted_at IS NULL THEN list.id END;
    END LOOP;
END
$$;
