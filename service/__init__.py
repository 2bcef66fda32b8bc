"""Doable, the task backend that a frontend plugs in: the map of its floors.

Imports go downward only, and a test keeps it so.

- ground: `errors` (what can go wrong, in the domain's words), `parsing` and `config` (the settings, from the
  environment alone), `logs` (one line for each thing that happened), `metrics` (how many, and how long) and
  `tracing` (what was done in which request; loaded only where it is on).
- floor 1: `auth` (a token becomes an identity; knows no ORM and no web framework), `models` (the tables and
  their fail-closed, user-scoped managers; knows no web framework) and `limiting` (how often anyone may ask).
- floor 2: `database` (where the database is, how a connection is borrowed, what its failures mean) and
  `live` (who waits for whose changes).
- floor 3: `api` (the only floor that speaks HTTP).
- roof: `app` (composition), `serving` (processes), `development` (the embedded database and the secret of
  `make run`) and `__main__` (the command line).
"""

__version__ = "0.1.0"
