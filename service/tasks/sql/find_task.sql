-- Find the live task of `owner` that `reference` names: an id in decimal digits, or a uid. Returns a row of NULLs if
-- there is none.
CREATE FUNCTION find_task(owner text, reference text, OUT one tasks) LANGUAGE plpgsql AS $$
BEGIN
    IF reference ~ '^[0-9]+$' THEN
        SELECT * INTO one FROM tasks
        WHERE tasks.user_id = owner AND tasks.id = reference::bigint AND deleted_at IS NULL;
    ELSE
        SELECT * INTO one FROM tasks
        WHERE tasks.user_id = owner AND tasks.uid = reference::uuid AND deleted_at IS NULL;
    END IF;
END
$$;
