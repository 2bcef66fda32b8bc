"""The fields of a request that give a task or a list its place among its siblings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Meta, UnsetType

from service.errors import FieldError
from service.web import positions
from service.web.fields import Cleaner, Related, read_related, rule


def read_position(sent: str | None) -> str | None:
    """Return a valid key. Raises ValueError for any other text."""
    if sent is not None and not positions.is_position(sent):
        raise ValueError
    return sent


def read_neighbour(sent: int | str | None) -> str | None:
    """Return the reference to a neighbour as text. Raises ValueError for a text that is not a uid."""
    return None if sent is None else read_related(sent)


CLEANERS: Mapping[str, Cleaner] = MappingProxyType(
    {"position": read_position, "after": read_neighbour, "before": read_neighbour}
)
Position = Annotated[
    Annotated[str, Meta(extra_json_schema={"maxLength": positions.LONGEST, "pattern": "^[A-Za-z][0-9A-Za-z]+$"})]
    | UnsetType
    | None,
    rule(
        "an order key as in the npm package fractional-indexing, of at most 100 characters; null changes nothing",
        example="a0", read=read_position,
    ),
]  # fmt: skip
After = Annotated[
    Related | UnsetType | None,
    rule("the id or uid of the sibling directly before the new place; null means the end", read=read_neighbour),
]
Before = Annotated[
    Related | UnsetType | None,
    rule("the id or uid of the sibling directly after the new place; null means the start", read=read_neighbour),
]


def place(columns: dict[str, Any]) -> list[FieldError]:
    """Convert position, after or before in `columns` to `placed` and `place`. Returns a fault if there are several.

    The SQL functions `seat_task` and `seat_list` describe `placed` and `place`.
    """
    sent = [name for name in CLEANERS if name in columns]
    values = [columns.pop(name) for name in sent]
    if len(sent) > 1:
        return [FieldError(sent[1], f"cannot be sent together with {sent[0]}; send one of them")]
    if sent and (sent[0] != "position" or values[0] is not None):
        columns["placed"], columns["place"] = sent[0] if sent[0] != "position" else "at", values[0]
    return []
