"""The processes that wait for a lock in the tests' database; other test processes use the same server.

A wait for a row has no database name in `pg_locks`, so the waiting process is found by its other locks. Unlike
`pg_stat_activity`, each statement of a transaction reads it again.
"""

from __future__ import annotations

HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
# The number of processes of the database that wait for a lock, and the number of its advisory locks.
WAITING = (
    f"SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE {HERE})"
)
ADVISORY = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HERE}"
