-- Return the id of the list of `owner` with this `uid`, live or deleted; NULL if there is none.
CREATE FUNCTION list_id_of(owner text, uid uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT lists.id FROM lists WHERE lists.user_id = owner AND lists.uid = list_id_of.uid
$$;
