"""The SQL that the managers of a user's tasks speak: each statement names one owner as `$1`.

Every write is a call of one database function (`functions`). Each locks the owner's row first, so one user's writes
follow one another and cannot wait for each other in a circle; then it reads, decides and writes, and advances the
owner's revision and clock. The lock is held until the commit, so revisions become visible in order.

Every table is reached through its owner, and an UPDATE calls nothing but immutable functions on columns, so that the
tables can be distributed by owner (Citus) as they are.
"""

from __future__ import annotations

from service.database.functions import DOCUMENT, call

MAXIMUM_BIGINT = 2**63 - 1  # the largest id, version or revision
PAGE = 5_000  # rows that one statement removes at most where there is no other bound; it takes some 0.2 s

CREATE = call("create_task", 15)
UPDATE = call("update_task", 19)
COMPLETE = call("complete_task", 7)
DELETE = call("delete_task", 7)
DELETE_MANY = call("delete_tasks", 5)

# The moment of the owner's first write in microseconds, in hexadecimal digits. An owner who was erased and writes again
# has another beginning, though the revisions start from 1 again.
BEGINNING = "to_hex((date_part('epoch', users.created_at) * 1000000)::bigint)"

# Changes whenever any of the owner's tasks does, and never comes back. No row where the owner has never written.
STATE = f"""
SELECT {BEGINNING} || '-' || revision AS state
FROM users WHERE id = $1
"""  # noqa: S608 - constants only

NEVER_WRITTEN = "0"  # the state of a user without a row

FIND = f"""
SELECT id AS task_id, version AS task_version, uid::text AS task_uid, {DOCUMENT} AS document
FROM tasks WHERE user_id = $1 AND id = $2 AND deleted_at IS NULL
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
