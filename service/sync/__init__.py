"""Synchronisation: the change feeds, the event streams, and the hub that notifies streams of new changes."""
