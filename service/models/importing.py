"""Many tasks of one user, put in at once: all of them by one statement, or none."""

from __future__ import annotations

from typing import NamedTuple

from service.errors import TaskQuotaError, TrashFullError
from service.models import task_sql
from service.models.batch import Quotas
from service.models.scoping import Row, Speaker

# What a line says of a task: what a client does, and what was kept of it elsewhere.
KEPT = ("completed_at", "created_at", "updated_at", "deleted_at")
TYPES = task_sql.TYPES | dict.fromkeys(KEPT, "timestamptz")
COLUMNS = ", ".join(TYPES)
TYPED = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
KEY = ("title", "created_at")

# `$5` is a JSON array of objects by TYPES, `$6` whether to leave out what is there already. The array comes as bytes:
# as text of Python's, one emoji would make it four times as large. The planner takes it for 100 rows, and joins on that
# belief would be quadratic; the window sorts once, whatever it believes.
#
# What is there already is known from before the owner's lock. With `$6` nothing is written if the owner's revision has
# moved since, so that two imports of one file never both create its tasks; `add_tasks` then tries again.
#
# Each task gets a version of its own, in the order of the lines, as in DELETE_MANY.
#
# The owner's row is made even for no task at all: the answer may be kept under a key, which needs an owner. Nothing
# lies in the trash since a moment that is still to come, or no purge would ever find it.
ADD = f"""
WITH line AS (
    SELECT * FROM ROWS FROM (
        json_to_recordset(convert_from($5::bytea, 'UTF8')::json) AS ({TYPED})
    ) WITH ORDINALITY AS line ({COLUMNS}, place)
), known AS (
    SELECT *, bool_or(place IS NULL) OVER (PARTITION BY {", ".join(KEY)}) AS is_there FROM (
        SELECT * FROM line
        UNION ALL
        SELECT {", ".join(name if name in KEY else f"NULL::{kind}" for name, kind in TYPES.items())}, NULL::bigint
        FROM tasks WHERE user_id = $1 AND $6::boolean
         AND version > (SELECT erased FROM users WHERE id = $1)
         AND created_at BETWEEN (SELECT min(created_at) FROM line) AND (SELECT max(created_at) FROM line)
    ) AS either
), fresh AS (
    SELECT *, row_number() OVER (ORDER BY place) AS step FROM known WHERE NOT is_there
), total AS (
    SELECT count(*) AS size, count(*) FILTER (WHERE deleted_at IS NULL) AS live,
           count(deleted_at) AS trashed FROM fresh
), owner AS (
    INSERT INTO users (id, email, name, created_at, written_at, revision, task_count, trash_count)
    SELECT $1, $2, $3, now(), now(), size, live, trashed FROM total WHERE live <= $4::int AND trashed <= $7::int
    ON CONFLICT (id) DO UPDATE SET {task_sql.advance("excluded.revision")},
        task_count = users.task_count + excluded.task_count,
        trash_count = users.trash_count + excluded.trash_count
    WHERE excluded.revision > 0
      AND (NOT $6 OR users.revision = (SELECT revision FROM users WHERE id = $1))
      AND (excluded.task_count = 0 OR users.task_count + excluded.task_count <= $4::int)
      AND (excluded.trash_count = 0 OR users.trash_count + excluded.trash_count <= $7::int)
    RETURNING revision, written_at
), made AS (
    INSERT INTO tasks (user_id, title, description, completed, completed_at, priority, tags, due_date, due_at,
                       title_key, description_key, tag_keys, created_at, updated_at, version, deleted_at)
    SELECT $1, title, description, coalesce(completed, false),
           CASE WHEN completed THEN coalesce(completed_at, owner.written_at) END,
           coalesce(priority, 0), coalesce(tags, ARRAY[]::text[]), due_date, due_at,
           title_key, description_key, coalesce(tag_keys, ARRAY[]::text[]),
           coalesce(created_at, owner.written_at), coalesce(updated_at, owner.written_at),
           owner.revision - total.size + step,
           CASE WHEN deleted_at IS NOT NULL THEN least(deleted_at, now()) END
    FROM fresh, total, owner ORDER BY step
    RETURNING id
)
SELECT total.size AS wanted, (SELECT count(*) FROM made) AS made,
       trashed > 0 AND trashed + coalesce((SELECT trash_count FROM users WHERE id = $1), 0) > $7 AS is_trash_full
FROM total
"""  # noqa: S608 - constants only


class Added(NamedTuple):
    """How many tasks were created, and how many were there already."""

    imported: int
    skipped: int


async def add_tasks(  # noqa: PLR0913 - what the one statement takes
    speaker: Speaker,
    owner: tuple[str, str | None, str | None],
    tasks: bytearray,
    count: int,
    *,
    quotas: Quotas,
    skip_known: bool,
) -> Added:
    """Create the `count` tasks of `tasks` for `owner`, who is an id, an e-mail address and a name.

    `tasks` is a JSON array in UTF-8 of objects by TYPES that is already valid; all of them are created, or none. With
    `skip_known` a task is left out when the owner has one, live or in the trash, with its title and `created_at`.
    Raises TaskQuotaError or TrashFullError when there would be more live or deleted tasks than `quotas` allow.
    """

    async def add(within: Speaker) -> Row:
        row = await within.fetch_row(ADD, *owner, quotas.tasks, tasks, skip_known, quotas.trash)
        assert row is not None  # noqa: S101 - an aggregate always has one row
        return row

    row = await add(speaker)
    if skip_known and _nothing_written(row):
        async with speaker.transaction(owner[0]) as session:
            # The first try takes the owner's lock and keeps it, so the second one sees all that was written before.
            row = await add(session)
            if _nothing_written(row):
                row = await add(session)
    if _nothing_written(row):
        raise TrashFullError(quotas.trash) if row["is_trash_full"] else TaskQuotaError(quotas.tasks)
    return Added(row["made"], count - row["wanted"])


def _nothing_written(row: Row) -> bool:
    return bool(row["made"] < row["wanted"])
