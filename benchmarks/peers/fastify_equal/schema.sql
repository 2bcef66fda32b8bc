-- Tables that let each write stay in its page: no index on a column that a write changes, and room on the pages.
CREATE TABLE IF NOT EXISTS users (
    id         text    NOT NULL PRIMARY KEY,
    revision   bigint  NOT NULL DEFAULT 0,
    task_count integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS tasks (
    id           bigint        NOT NULL GENERATED ALWAYS AS IDENTITY,
    user_id      text          NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title        varchar(200)  NOT NULL,
    description  varchar(1000),
    completed    boolean       NOT NULL DEFAULT false,
    completed_at timestamptz,
    priority     smallint      NOT NULL DEFAULT 0,
    tags         text[]        NOT NULL DEFAULT '{}',
    due_date     date,
    due_at       timestamptz,
    created_at   timestamptz   NOT NULL DEFAULT now(),
    updated_at   timestamptz   NOT NULL DEFAULT now(),
    version      bigint        NOT NULL,
    deleted_at   timestamptz,
    PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);

-- A function, because the count must move with the task and with nothing else, whoever deletes it at the same moment.
CREATE OR REPLACE FUNCTION delete_task(owner text, task bigint, expected bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    advanced bigint;
BEGIN
    SELECT revision + 1 INTO advanced FROM users WHERE users.id = owner FOR NO KEY UPDATE;
    UPDATE tasks SET deleted_at = now(), updated_at = now(), version = advanced
    WHERE user_id = owner AND tasks.id = task AND deleted_at IS NULL AND (expected IS NULL OR version = expected);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE users SET revision = advanced, task_count = task_count - 1 WHERE users.id = owner;
    RETURN task;
END
$$;
