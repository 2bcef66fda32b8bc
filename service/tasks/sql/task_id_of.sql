-- Return the id of the task of `owner` with this `uid`, live or deleted; NULL if there is none. Statements call it to
-- convert the argument of another function, so that all functions take ids.
CREATE FUNCTION task_id_of(owner text, uid uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
SELECT tasks.id FROM tasks WHERE tasks.user_id = owner AND tasks.uid = task_id_of.uid
$$;
