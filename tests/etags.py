"""The ETag that a task has, as the reference describes it."""

from __future__ import annotations


def etag_of(task: dict) -> str:
    """The version, a dot, and the last eight digits of the `uid`."""
    return f'"{task["version"]}.{task["uid"][-8:]}"'
