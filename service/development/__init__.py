"""Development: the embedded PostgreSQL, the landing page, the playground, and the watch over blocked steps."""
