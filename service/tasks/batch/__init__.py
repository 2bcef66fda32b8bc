"""Batches: many writes of one user's tasks in one request."""
