"""How fast Doable is, beside its peers: the map of the rooms.

- `peers/`: the same API as experts of other stacks would write it, and the floor, the least that Sanic and asyncpg can
  do.
- `servers`: one PostgreSQL, and on it a process of each.
- `load`: requests as bytes, sent by wrk or by a client of our own; what came of them.
- `cells`: what is asked of each server, as one would name a row of a table.
- `runs`: fill, go round, measure; `results`: what a run leaves behind, and the ratios in it.
- `statements`: those that PostgreSQL is sent, each by itself; `meters` and `worker`: what a statement costs PostgreSQL
  and a request a worker, in instructions; `costs`: the tables of these, and the comparison with the recorded ones.
- `report` and `plot`: the table and the picture. `__main__`: the command line behind `make bench`.
"""
