"""The trash: deleted tasks, which can be restored or destroyed."""
