"""Users: the owner of each task, the revision of the owner's writes, and the erasure of a user."""
