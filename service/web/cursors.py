"""Write and read cursors. A cursor is an opaque text with the position of the next page, valid for one list only."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from hashlib import blake2b

import msgspec

from service.database.expected import MAXIMUM_BIGINT
from service.database.keyset import Position
from service.errors import FieldError, InvalidInputError

KEYS = {
    "created": re.compile(r"[0-9]{1,19}"),
    "updated": re.compile(r"[0-9]{1,19}"),
    "title": re.compile(r"[^\0]{1,600}", re.DOTALL),
    "due_date": re.compile(r"-?infinity|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?\+00"),
    "priority": re.compile(r"[0-3]"),
    "position": re.compile(r"[0-9A-Za-z]{1,100}"),
    "deleted": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00"),
}


class Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The content of a cursor: its list's fingerprint, and the sort key and id of the last task before the page."""

    fingerprint: bytes
    key: str
    id: int


def fingerprint(parts: object) -> bytes:
    """Return a digest of the filters, sort and order of a list. Equal lists have equal digests."""
    return blake2b(msgspec.msgpack.encode(parts), digest_size=8).digest()


def write(position: Position, listed: bytes) -> str:
    """Return the cursor for `position` in the list with the fingerprint `listed`."""
    packed = msgspec.msgpack.encode(Cursor(listed, position.key, position.id))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read(text: str, listed: bytes, sort: str) -> Position:
    """Return the position in the cursor `text`.

    Raises InvalidInputError for an invalid cursor or one of another list. Cursors are not signed, because a forged one
    gives no access: every statement names the token's user.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise InvalidInputError([FieldError("cursor", "is not valid; take it from the Link header")]) from None
    if cursor.fingerprint != listed:
        raise InvalidInputError(
            [FieldError("cursor", "belongs to another list; use it with the same filters, sort and order")]
        )
    if not _fits(cursor.key, sort) or not 0 <= cursor.id <= MAXIMUM_BIGINT:
        raise InvalidInputError([FieldError("cursor", "is not valid; take it from the Link header")])
    return Position(cursor.key, cursor.id)


def _fits(key: str, sort: str) -> bool:
    """Return whether PostgreSQL can read `key` as a value of this sort's column."""
    if not KEYS[sort].fullmatch(key):
        return False
    if sort in {"created", "updated"}:
        return int(key) <= MAXIMUM_BIGINT
    if sort in {"due_date", "deleted"} and not key.endswith("infinity"):
        try:
            datetime.fromisoformat(key)
        except ValueError:  # such as 30 February, or the year 0
            return False
    return True
