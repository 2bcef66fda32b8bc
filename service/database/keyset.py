"""Pages of a list: a position in it, and one page as JSON."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A position after a row of a list: the sort key of the row, as PostgreSQL writes it, and its id."""

    key: str
    id: int


class Page(NamedTuple):
    """A JSON array of rows, the position of the next page if there is one, and the number of matches if requested.

    `state` is that of the owner in the same snapshot (see `UserQuerySet.state`).
    """

    document: str
    next: Position | None
    total: int | None
    state: str
