"""Routes and tasks for operators: health checks, metrics, the documentation page, and the daily purge."""
