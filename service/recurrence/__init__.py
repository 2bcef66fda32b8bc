"""Recurrence: read repetition rules, and compute the slots of a series. Pure functions, without database and HTTP."""
