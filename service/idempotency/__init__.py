"""Idempotency keys: the kept answers, and the writes that are done once."""
