"""Synchronisation: the change feed, the event stream, and the hub that notifies streams of new changes."""
