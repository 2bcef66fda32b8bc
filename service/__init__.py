"""Doable, the task backend that a frontend plugs in: a map of its rooms.

Each noun has a room that contains all of it: `users` (the owner of everything else), `tasks` (with batches and the
trash), `idempotency` (stored answers), `sync` (change feed and event stream) and `transfer` (export and import). In a
room, `models` and `writes` know no HTTP, `routes` contains the handlers, and `sql/` the database functions that write.
A new noun, such as lists, gets a room beside `tasks`. The nouns share the rooms below them: `web` (everything about
HTTP except routes), `auth` (verifies tokens), `database` (connections, transactions, migrations, owner-scoped
managers), `telemetry` (metrics and traces), `logs`, `config` (reads the environment) and `errors`. Above the nouns,
`operations` has health, metrics, documentation and the purge, `development` has the additions of `make run`, `app` puts
everything together, `serving` runs it in processes, and `__main__` is the command line. Imports go downward only; a
test enforces this.
"""

__version__ = "0.1.0"
