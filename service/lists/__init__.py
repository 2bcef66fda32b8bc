"""Lists of tasks: the model, its queryset and writes, and the routes."""
