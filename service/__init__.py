"""Doable, the task backend that a frontend plugs in: a map of its rooms.

Each noun has a room that holds all of it: `users` (the owner of everything else), `idempotency` (kept answers), `tasks`
(with batches and the trash), `sync` (change feed and event stream) and `transfer` (export and import). Within a room,
`models` and `writes` know no HTTP; `routes` holds the handlers, and `sql/` the database functions that write. A new
noun, such as lists, gets a room beside `tasks`. The nouns share a floor: `web` (everything HTTP that is not a route),
`auth` (a token becomes an identity), `database` (connections, transactions, migrations, scoped managers), and below
them `tracing`, `metrics`, `logs`, `config` (the only reader of the environment) and `errors`. Above the nouns,
`operations` watches and cleans up, `development` serves `make run`, `app` puts everything together, `serving` runs it
in processes, and `__main__` is the command line. Imports go downward only, and `make check` keeps it so.
"""

__version__ = "0.1.0"
