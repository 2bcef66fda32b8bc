"""Development: the embedded PostgreSQL, the landing page, the playground, and the detection of a blocked event loop."""
