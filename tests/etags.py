"""The ETag of a task, as the reference describes it."""

from __future__ import annotations


def etag_of(task: dict) -> str:
    """Return the version, a dot, and the last eight digits of the `uid`, in quotes."""
    return f'"{task["version"]}.{task["uid"][-8:]}"'
