"""Synchronisation: the change feed, the event stream, and the hub that wakes the streams."""
