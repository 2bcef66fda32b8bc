-- The statements of the server, each prepared once for each connection. `$1` is always the owner.
--
-- A write advances the owner's revision and gives it to the task. The lock on the owner's row, held until the commit,
-- makes revisions commit in order. It advances nothing where EXISTS says that there is nothing to write. Two writers of
-- one task at the same moment are decided by the last WHERE; then a revision may be passed over.

-- name: find
SELECT id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at, updated_at,
       version
FROM tasks WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL;

-- name: state
SELECT revision FROM users WHERE id = $1;

-- name: page
SELECT users.revision, page.*
FROM users LEFT JOIN LATERAL (
    SELECT id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at,
           updated_at, version
    FROM tasks
    WHERE user_id = $1 AND deleted_at IS NULL AND ($2::boolean IS NULL OR completed = $2)
      AND id < coalesce($3, 9223372036854775807)
    ORDER BY id DESC LIMIT $4
) AS page ON true
WHERE users.id = $1;

-- name: join
INSERT INTO users (id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: create
WITH owner AS (
    UPDATE users SET revision = revision + 1, task_count = task_count + 1 WHERE id = $1 AND task_count < $2
    RETURNING revision
)
INSERT INTO tasks (user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, version)
SELECT $1, $3, $4, $5, CASE WHEN $5 THEN now() END, $6, $7, $8, $9, revision FROM owner
RETURNING id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at,
          updated_at, version;

-- name: update
WITH owner AS (
    UPDATE users SET revision = revision + 1
    WHERE id = $1 AND EXISTS (
        SELECT FROM tasks
        WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR version = $3)
          AND ((title, completed, priority, tags) IS DISTINCT FROM
               (coalesce($4, title), coalesce($7, completed), coalesce($8, priority), coalesce($9, tags))
               OR $5 AND description IS DISTINCT FROM $6
               OR $10 AND due_date IS DISTINCT FROM $11 OR $12 AND due_at IS DISTINCT FROM $13)
    )
    RETURNING revision
)
UPDATE tasks
SET title = coalesce($4, title), description = CASE WHEN $5 THEN $6 ELSE description END,
    completed = coalesce($7, completed),
    completed_at = CASE WHEN coalesce($7, completed) THEN coalesce(completed_at, now()) END,
    priority = coalesce($8, priority), tags = coalesce($9, tags),
    due_date = CASE WHEN $10 THEN $11 ELSE due_date END, due_at = CASE WHEN $12 THEN $13 ELSE due_at END,
    updated_at = now(), version = owner.revision
FROM owner
WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR version = $3)
RETURNING id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at,
          updated_at, version;

-- name: complete
WITH owner AS (
    UPDATE users SET revision = revision + 1
    WHERE id = $1 AND EXISTS (
        SELECT FROM tasks
        WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR version = $3)
          AND ($4::boolean IS NULL OR completed <> $4)
    )
    RETURNING revision
)
UPDATE tasks
SET completed = coalesce($4, NOT completed),
    completed_at = CASE WHEN coalesce($4, NOT completed) THEN coalesce(completed_at, now()) END,
    updated_at = now(), version = owner.revision
FROM owner
WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL AND ($3::bigint IS NULL OR version = $3)
RETURNING id, user_id, title, description, completed, completed_at, priority, tags, due_date, due_at, created_at,
          updated_at, version;

-- name: delete
SELECT delete_task($1, $2, $3) AS id;
