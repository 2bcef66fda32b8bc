"""Record the SQL text and the arguments of a read, without a database.

The text is compiled, so Tortoise must know the models: a test that uses this module needs the fixture `server`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn


class _Sent(Exception):  # noqa: N818 - not an error: it carries the statement out of the read
    """The statement that a read was about to send."""


class Recorder:
    """A stand-in for the connection of a queryset."""

    orm = None

    def fetch_one(self, statement: str, *arguments: object) -> NoReturn:
        """Raise the statement, so that the read ends here."""
        raise _Sent(statement, arguments)

    call = fetch_first = fetch_rows = fetch_one


def sent(read: Callable[[Recorder], Coroutine[Any, Any, Any]]) -> tuple[str, tuple[object, ...]]:
    """Return the statement that `read` would send over its connection."""
    try:
        read(Recorder()).send(None)
    except _Sent as recorded:
        return recorded.args
    raise AssertionError("nothing was sent")
