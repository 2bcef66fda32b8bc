"""The SQL of a batch: what `task_sql` does to one task, done to many of them by one statement for each run.

These statements are spoken within one transaction, in this order, so that no two batches, and no batch and any other
writer, can wait for each other:

1. `LOCK_TASKS` locks every task that the batch names, in the order of ids, live or in the trash.
2. `LOCK_OWNER` locks the owner's row, and makes it where there is none.
3. The rest find all that they change locked already. Each advances the owner's revision by as many as it changes, and
   each task takes one of these as its version, in the order of the operations (`place`).

What they get is a JSON array of objects, one for each operation; what they answer are arrays, for one row is what a
session reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from service.models.task_sql import COMPLETION, TYPES, advance

LOCK_TASKS = """
WITH target AS (
    SELECT id FROM tasks WHERE user_id = $1 AND id = ANY ($2::bigint[]) ORDER BY id FOR NO KEY UPDATE
)
SELECT array_agg(id) AS ids FROM target
"""

LOCK_OWNER = """
INSERT INTO users (id, email, name, created_at, written_at, revision, task_count)
VALUES ($1, $2, $3, now(), now(), 0, 0)
ON CONFLICT (id) DO UPDATE SET email = coalesce($2, users.email), name = coalesce($3, users.name)
RETURNING id
"""


def _rows(number: str, **columns: str) -> str:
    """A relation of the objects in the JSON array `number`, by the types of `columns`, and each one's `place`."""
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"""(
        SELECT * FROM ROWS FROM (json_to_recordset({number}::text::json) AS ({types}))
        WITH ORDINALITY AS sent ({", ".join(columns)}, place)
    )"""  # noqa: S608 - constants only


def _advance(many: str) -> str:
    """The owner's revision, advanced by as many as there are rows in `many`."""
    return advance(f"(SELECT count(*) FROM {many})")  # noqa: S608 - constants only


# As many of the first ones as the quota, `$4`, has room for.
CREATE = f"""
WITH fitting AS (
    SELECT * FROM {_rows("$5", **TYPES)} AS draft
    WHERE place <= $4::int - (SELECT task_count FROM users WHERE id = $1)
), owner AS (
    UPDATE users SET {_advance("fitting")}, task_count = users.task_count + (SELECT count(*) FROM fitting)
    WHERE id = $1 AND EXISTS (SELECT FROM fitting)
    RETURNING revision - (SELECT count(*) FROM fitting) AS before, written_at
), task AS (
    INSERT INTO tasks (user_id, title, description, completed, completed_at, priority, tags, due_date, due_at,
                       title_key, description_key, tag_keys, created_at, updated_at, version)
    SELECT $1, title, description, coalesce(completed, false), CASE WHEN completed THEN owner.written_at END,
           coalesce(priority, 0), coalesce(tags, ARRAY[]::text[]), due_date, due_at,
           title_key, description_key, coalesce(tag_keys, ARRAY[]::text[]),
           owner.written_at, owner.written_at, owner.before + place
    FROM owner, fitting ORDER BY place
    RETURNING *
)
SELECT array_agg(document ORDER BY version) AS documents FROM task
"""  # noqa: S608 - constants only


class Verb(NamedTuple):
    """What tells one kind of write from another, in conditions on `operation` and `tasks`.

    `among`: which tasks there are. `fits`: whether one of them is as the writer expects. `room`: whether a quota, `$5`,
    leaves room for it. `differs`: whether a write changes anything. `change`: a SET list. `counts`: further ones of the
    owner's, which count `moving`. `columns`: what an operation brings along, by type.
    """

    among: str
    change: str
    fits: str = "true"
    room: str = "true"
    differs: str = "true"
    counts: str = ""
    columns: Mapping[str, str] = MappingProxyType({})


def _write(verb: Verb) -> str:
    """A statement that writes the tasks that `$4` names, in the order in which it does; they must be locked.

    Answers of each task that is there its id, whether it fits, whether there is room for it, and version and document
    as they are now.
    """
    return f"""
WITH target AS (
    SELECT operation.*, {verb.fits} AS fits, {verb.room} AS room,
           {verb.fits} AND {verb.room} AND {verb.differs} AS moves
    FROM {_rows("$4", id="bigint", expected="bigint", **verb.columns)} AS operation
    JOIN tasks ON tasks.user_id = $1 AND tasks.id = operation.id AND {verb.among}
), moving AS (
    SELECT *, row_number() OVER (ORDER BY place DESC) - 1 AS newer FROM target WHERE moves
), owner AS (
    UPDATE users SET {_advance("moving")}{verb.counts}
    WHERE id = $1 AND EXISTS (SELECT FROM moving)
    RETURNING revision, written_at
), changed AS (
    UPDATE tasks SET {verb.change}, updated_at = owner.written_at, version = owner.revision - moving.newer
    FROM owner, moving WHERE tasks.user_id = $1 AND tasks.id = moving.id
    RETURNING tasks.*
), task AS (
    SELECT * FROM changed
    UNION ALL
    SELECT tasks.* FROM tasks JOIN target ON tasks.user_id = $1 AND tasks.id = target.id AND NOT target.moves
)
SELECT array_agg(id) AS ids, array_agg(target.fits) AS fits, array_agg(target.room) AS room,
       array_agg(task.version) AS versions,
       array_agg(document) AS documents
FROM target JOIN task USING (id)
"""  # noqa: S608 - constants only


LIVE = "tasks.deleted_at IS NULL"
EXPECTED = "(operation.expected IS NULL OR operation.expected = tasks.version)"


def _merged(relation: str) -> dict[str, str]:
    """Each column's value after a merge: what is NULL in `sent` clears, what is left out of it stays (RFC 7396)."""
    return {
        column: f"CASE WHEN '{column}' = ANY ({relation}.sent) THEN {relation}.{column} ELSE tasks.{column} END"
        for column in TYPES
    }


UPDATE = _write(
    Verb(
        among=LIVE,
        fits=EXPECTED,
        change=", ".join(
            COMPLETION.format(f"({value})") if column == "completed" else f"{column} = {value}"
            for column, value in _merged("moving").items()
        ),
        differs=f"({', '.join(f'tasks.{column}' for column in TYPES)}) IS DISTINCT FROM"
        f" ({', '.join(_merged('operation').values())})",
        columns={"sent": "text[]", **TYPES},
    )
)


def _moved(grows: str, shrinks: str) -> str:
    """Two columns of the owner's, of which one grows and the other shrinks by as many tasks as move."""
    return "".join(
        f", {column} = users.{column} {sign} (SELECT count(*) FROM moving)"  # noqa: S608 - constants only
        for column, sign in ((grows, "+"), (shrinks, "-"))
    )


# Of each of the two, as many of the first ones as the quota, `$5`, has room for.
DELETE = _write(
    Verb(
        among=LIVE,
        fits=EXPECTED,
        room=f"count(*) FILTER (WHERE {EXPECTED}) OVER (ORDER BY place)"  # noqa: S608 - constants only
        " <= $5::int - (SELECT trash_count FROM users WHERE id = $1)",
        change="deleted_at = now()",
        counts=_moved("trash_count", "task_count"),
    )
)
RESTORE = _write(
    Verb(
        among="tasks.deleted_at IS NOT NULL AND tasks.version > (SELECT erased FROM users WHERE id = $1)",
        room="row_number() OVER (ORDER BY place) <= $5::int - (SELECT task_count FROM users WHERE id = $1)",
        change="deleted_at = NULL",
        counts=_moved("task_count", "trash_count"),
    )
)
