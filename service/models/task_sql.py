"""The SQL that the managers speak: each verb is one statement, and each statement names one owner as `$1`.

Every write takes the same three steps in one statement, so that it needs no transaction and no second round trip:

1. `target` locks the owner's task. Of two writers the second waits here and then sees what the first one left, so
   nothing is decided on a stale row.
2. `owner` advances the owner's revision and clock, and only if there is something to write. The lock on the user's
   row, held until commit, makes revisions commit in order; `written_at` strictly increases with them.
3. the write itself, stamped with that revision and that clock.

A write may expect the task at one of some versions, `$5`; NULL expects nothing. It may exclude versions, `$6`; an empty
array excludes none. That is decided under the lock too, so of many writers who saw the same version one wins, and the
answer tells the others of the task as it is (`matched`).

Locks are always taken in this order, task before owner, so two writers cannot wait for each other. No volatile
function stands in an UPDATE and every table is reached through its owner, so that the tables can be distributed
by owner (Citus) as they are.
"""

from __future__ import annotations

from functools import cache

PAGE = 5_000  # rows that one statement removes at most where there is no other bound; it takes some 0.2 s


def advance(by: str = "1", *, claims: bool = True) -> str:
    """A SET list: the owner's revision moves `by` so many, and the clock with it; the token's claims are kept."""
    kept = ", email = coalesce($2, users.email), name = coalesce($3, users.name)" if claims else ""
    return f"""
    revision = users.revision + {by}, written_at = greatest(now(), users.written_at + interval '1 microsecond'){kept}
"""


# The user's row is made from the token's claims at the first write, here. The quota is decided under the row's lock.
CREATE = f"""
WITH owner AS (
    INSERT INTO users (id, email, name, created_at, written_at, revision, task_count)
    VALUES ($1, $2, $3, now(), now(), 1, 1)
    ON CONFLICT (id) DO UPDATE SET {advance()}, task_count = users.task_count + 1
    WHERE users.task_count < $4
    RETURNING revision, written_at
), task AS (
    INSERT INTO tasks (user_id, title, description, completed, completed_at, priority, tags, due_date, due_at,
                       title_key, description_key, tag_keys, created_at, updated_at, version)
    SELECT $1, $5, $6, $7, CASE WHEN $7 THEN owner.written_at END, $8, $9,
           $10::text::date, $11::text::timestamptz, $12, $13, $14,
           owner.written_at, owner.written_at, owner.revision
    FROM owner
    RETURNING *
)
SELECT id, version, document FROM task
"""  # noqa: S608 - constants only

# The moment of the owner's first write in microseconds, in hexadecimal digits. An owner who was erased and writes again
# has another beginning, though the revisions start from 1 again.
BEGINNING = "to_hex((date_part('epoch', users.created_at) * 1000000)::bigint)"

# Changes whenever any of the owner's tasks does, and never comes back. No row where the owner has never written.
STATE = f"""
SELECT {BEGINNING} || '-' || revision AS state
FROM users WHERE id = $1
"""  # noqa: S608 - constants only

NEVER_WRITTEN = "0"  # the state of a user without a row

# Of the locked task: whether it is at one of the versions that the writer expects, and at none that it excludes.
EXPECTED = "(($5::bigint[] IS NULL OR version = ANY ($5)) AND version <> ALL ($6::bigint[]))"

FIND = """
SELECT id, version, document FROM tasks WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL
"""


def _write(change: str, differs: str) -> str:
    """A statement that applies `change` (a SET list) to one live task, if `differs` says that it changes anything.

    Answers the task as it is now, changed or not, and whether it was as expected; no row when there is no such task.
    """
    return f"""
WITH target AS (
    SELECT * FROM tasks WHERE user_id = $1 AND id = $4 AND deleted_at IS NULL FOR NO KEY UPDATE
), owner AS (
    UPDATE users SET {advance()}
    WHERE id = $1 AND EXISTS (SELECT FROM target WHERE {EXPECTED} AND {differs})
    RETURNING revision, written_at
), changed AS (
    UPDATE tasks SET {change}, updated_at = owner.written_at, version = owner.revision
    FROM owner WHERE tasks.user_id = $1 AND tasks.id = $4
    RETURNING tasks.*
), task AS (
    SELECT * FROM changed UNION ALL SELECT * FROM target WHERE NOT EXISTS (SELECT FROM changed)
)
SELECT id, version, document, (SELECT {EXPECTED} FROM target) AS matched FROM task
"""  # noqa: S608 - constants only


COMPLETION = "completed = {0}, completed_at = CASE WHEN {0} THEN coalesce(tasks.completed_at, owner.written_at) END"
# What a client says of a task, by column, and the folded keys of it (`service.text.with_keys`).
TYPES = {
    "title": "text",
    "description": "text",
    "completed": "boolean",
    "priority": "smallint",
    "tags": "text[]",
    "due_date": "date",
    "due_at": "timestamptz",
    "title_key": "text",
    "description_key": "text",
    "tag_keys": "text[]",
}
MAXIMUM_BIGINT = 2**63 - 1  # the largest id, version or revision
AS_TEXT = frozenset({"due_date", "due_at"})  # asyncpg takes the calendar's first and last for infinity


@cache
def update(columns: tuple[str, ...]) -> str:
    """The statement that sets `columns` (names from TYPES, at least one) to `$7`, `$8`, … of one task."""
    values = {
        column: f"${number}{'::text' if column in AS_TEXT else ''}::{TYPES[column]}"
        for number, column in enumerate(columns, start=7)
    }
    change = ", ".join(
        COMPLETION.format(value) if column == "completed" else f"{column} = {value}" for column, value in values.items()
    )
    return _write(change, f"({', '.join(values)}) IS DISTINCT FROM ({', '.join(values.values())})")


TOGGLE = _write(COMPLETION.format("NOT tasks.completed"), "true")

# `deleted_at` is the clock's own time and not `written_at`: that one must increase, so after a jump of the clock and
# back it stays ahead, and the purge would come as much too late. The quota of the trash, `$7`, is decided under the
# owner's lock.
DELETE = f"""
WITH target AS (
    SELECT * FROM tasks WHERE user_id = $1 AND id = $4 AND deleted_at IS NULL FOR NO KEY UPDATE
), owner AS (
    UPDATE users SET {advance()}, task_count = users.task_count - 1, trash_count = users.trash_count + 1
    WHERE id = $1 AND users.trash_count < $7 AND EXISTS (SELECT FROM target WHERE {EXPECTED})
    RETURNING revision, written_at
), deleted AS (
    UPDATE tasks SET deleted_at = now(), updated_at = owner.written_at, version = owner.revision
    FROM owner WHERE tasks.user_id = $1 AND tasks.id = $4
)
SELECT id, version, {EXPECTED} AS matched, EXISTS (SELECT FROM owner) AS fits,
       CASE WHEN {EXPECTED} THEN NULL ELSE document END AS document
FROM target
"""  # noqa: S608 - constants only

# Each task gets a version of its own, in the order of ids: a change feed that is read page by page may stop between
# any two of them. All of them go, or none where the trash has no room for all, by its quota `$5`.
DELETE_MANY = f"""
WITH target AS (
    SELECT id FROM tasks
    WHERE user_id = $1 AND deleted_at IS NULL AND ($4::boolean IS NULL OR completed = $4)
    ORDER BY id FOR NO KEY UPDATE
), gone AS (
    SELECT id, row_number() OVER (ORDER BY id DESC) - 1 AS newer FROM target
), owner AS (
    UPDATE users SET {advance("(SELECT count(*) FROM target)")},
        task_count = users.task_count - (SELECT count(*) FROM target),
        trash_count = users.trash_count + (SELECT count(*) FROM target)
    WHERE id = $1 AND EXISTS (SELECT FROM target) AND users.trash_count + (SELECT count(*) FROM target) <= $5
    RETURNING revision, written_at
), deleted AS (
    UPDATE tasks
    SET deleted_at = now(), updated_at = owner.written_at, version = owner.revision - gone.newer
    FROM owner, gone WHERE tasks.user_id = $1 AND tasks.id = gone.id
    RETURNING tasks.id
)
SELECT count(*) AS deleted, (SELECT count(*) FROM target) AS wanted FROM deleted
"""  # noqa: S608 - constants only

# `$2` is today's date and `$3` to `$4` its first moment and the next day's, in the time zone that the caller lives in.
SUMMARY = f"""
SELECT ({STATE}) AS state, count(*) AS total,
       count(*) FILTER (WHERE NOT completed) AS pending,
       count(*) FILTER (WHERE completed) AS completed,
       count(*) FILTER (WHERE NOT completed AND (due_date < $2 OR due_at < now())) AS overdue,
       count(*) FILTER (WHERE NOT completed AND (due_date = $2 OR (due_at >= $3 AND due_at < $4))) AS due_today
FROM tasks WHERE user_id = $1 AND deleted_at IS NULL
"""  # noqa: S608 - constants only
