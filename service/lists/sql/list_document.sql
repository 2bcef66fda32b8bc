-- Build the JSON of a list for responses. Only this function defines its members and their order.
--
-- This function must remain a single expression, so that PostgreSQL inlines it.
CREATE FUNCTION list_document(list lists) RETURNS text LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'id', list.id,
    'uid', list.uid,
    'name', list.name,
    'color', list.color,
    'position', coalesce(list.position, position_of_id(list.id)),
    'archived', list.archived,
    'created_at', to_char(list.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'updated_at', to_char(list.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'version', list.version
)::text
$$;
