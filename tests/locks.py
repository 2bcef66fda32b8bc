"""What waits for a lock in the tests' database: other test processes use the same server at the same time.

PostgreSQL's `pg_locks` names no database for a wait for a row, so the process that waits is found by its other locks.
Unlike `pg_stat_activity` it is read anew by each statement of a transaction.
"""

from __future__ import annotations

HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
# How many of the database's processes wait for a lock, and how many advisory locks it has.
WAITING = (
    f"SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE {HERE})"
)
ADVISORY = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HERE}"
