"""Tasks and lists as the database returns them, and the ways in which clients name them."""

from __future__ import annotations

import re
from typing import NamedTuple

from service.database.expected import MAXIMUM_BIGINT

Reference = int | str  # an id, or a uid in lower case
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


class StoredItem(NamedTuple):
    """A task or a list in the database: its JSON `document`, and the values for the headers of a response.

    `known` means that a creation found the item with the client's uid, and wrote nothing.
    """

    id: int
    version: int
    uid: str
    document: str
    known: bool = False


def read_uid(text: str) -> str:
    """Return a UUID of any version in lower case. Raises ValueError for any other text."""
    if not UID.fullmatch(text):
        raise ValueError
    return text.lower()


def read_reference(text: str) -> Reference:
    """Return the id or the uid in a path or a query string. Raises ValueError for any other text."""
    if ID.fullmatch(text) and int(text) <= MAXIMUM_BIGINT:
        return int(text)
    return read_uid(text)
