"""Measure the speed of Doable and of the same API in other stacks. This is a map of the modules.

- `peers/`: the same API in other stacks, and the floor: the cost of Sanic and asyncpg alone.
- `servers`: start one PostgreSQL, and one process of each server.
- `load`: send requests with wrk or with a client of our own, and measure the responses.
- `cells`: the requests to measure. Each is a row of the tables.
- `runs`: fill the servers and measure them in turns; `results`: store the results, and compute ratios.
- `statements`: the single SQL statements to measure; `meters`: their cost in PostgreSQL; `worker`: the cost of a
  request in a worker; `costs`: tables of these costs, and the comparison with the recorded ones.
- `report` and `plot`: write the tables and the chart. `__main__`: the command line of `make bench`.
"""
