"""Idempotency keys: the stored answers, and the writes that run once for each key."""
