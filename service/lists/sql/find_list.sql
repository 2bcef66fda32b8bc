-- Find the live list of `owner` that `reference` names: an id in decimal digits, or a uid. Returns a row of NULLs if
-- there is none.
CREATE FUNCTION find_list(owner text, reference text, OUT one lists) LANGUAGE plpgsql AS $$
BEGIN
    IF reference ~ '^[0-9]+$' THEN
        SELECT * INTO one FROM lists
        WHERE lists.user_id = owner AND lists.id = reference::bigint AND deleted_at IS NULL;
    ELSE
        SELECT * INTO one FROM lists
        WHERE lists.user_id = owner AND lists.uid = reference::uuid AND deleted_at IS NULL;
    END IF;
END
$$;
