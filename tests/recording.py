"""What a read of the service would send, without a database: its SQL text and arguments.

The text is compiled, so Tortoise must know the models: a test that uses this takes the fixture `server`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn


class _Sent(Exception):  # noqa: N818 - no error: it carries the statement out of the read
    """What was about to be sent."""


class Recorder:
    """Stands where a queryset expects a connection."""

    orm = None

    def fetch_one(self, statement: str, *arguments: object) -> NoReturn:
        """Take the statement, and let the read go no further."""
        raise _Sent(statement, arguments)

    call = fetch_first = fetch_rows = fetch_one


def sent(read: Callable[[Recorder], Coroutine[Any, Any, Any]]) -> tuple[str, tuple[object, ...]]:
    """The statement that `read` would send over the connection that it is given."""
    try:
        read(Recorder()).send(None)
    except _Sent as recorded:
        return recorded.args
    raise AssertionError("nothing was sent")
