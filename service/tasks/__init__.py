"""Tasks: the model, its reads and writes, the routes; batches and the trash."""
