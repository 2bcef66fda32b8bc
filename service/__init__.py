"""Doable, a task backend for frontends. This is a map of its packages.

Each noun has a package of its own: `users` (the owners of all data), `tasks` (with batches and the trash),
`idempotency` (stored responses), `sync` (change feed and event stream) and `transfer` (export and import). In these
packages, `models` and `writes` know no HTTP, `routes` contains the handlers, and `sql/` the database functions that
write. A new noun, such as lists, gets a package beside `tasks`.

The nouns share the packages below them: `web` (the HTTP layer without the routes), `auth` (verifies tokens), `database`
(connections, transactions, migrations, owner-scoped querysets), `recurrence` (the arithmetic of repetition rules and
time zones), `telemetry` (metrics and traces), `logs`, `config` (reads the environment) and `errors`.

Above the nouns, `operations` contains health checks, metrics, documentation and the daily purge, `development` supports
`make run`, `app` composes the service, `serving` runs its processes, and `__main__` is the command line. Imports go
downward only; a test enforces this.
"""

__version__ = "0.1.0"
