"""Users: the owners of tasks, the counter of their writes, and their erasure."""
