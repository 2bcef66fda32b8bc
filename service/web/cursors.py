"""Cursors: where a next page begins, as an opaque text that only fits the list it came from."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from hashlib import blake2b

import msgspec

from service.database.expected import MAXIMUM_BIGINT
from service.errors import FieldError, InvalidInputError
from service.tasks.selection import Position

KEYS = {
    "created": re.compile(r"[0-9]{1,19}"),
    "updated": re.compile(r"[0-9]{1,19}"),
    "title": re.compile(r"[^\0]{1,600}", re.DOTALL),
    "due_date": re.compile(r"-?infinity|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?\+00"),
    "priority": re.compile(r"[0-3]"),
    "deleted": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00"),
}


class Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a cursor holds: the fingerprint of its list, the sort key and the id of the last task before the page."""

    fingerprint: bytes
    key: str
    id: int


def fingerprint(parts: object) -> bytes:
    """A digest of all that makes two lists the same list: their filters, sort and order."""
    return blake2b(msgspec.msgpack.encode(parts), digest_size=8).digest()


def write(position: Position, listed: bytes) -> str:
    """The cursor for `position` in the list whose fingerprint is `listed`."""
    packed = msgspec.msgpack.encode(Cursor(listed, position.key, position.id))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read(text: str, listed: bytes, sort: str) -> Position:
    """The position in `text`.

    Raises InvalidInputError for a cursor that is not one of ours, or belongs to another list. It is not signed: a
    forged one reaches nothing but its own user's tasks, which every statement names.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise InvalidInputError([FieldError("cursor", "is not one of ours; take it from the Link header")]) from None
    if cursor.fingerprint != listed:
        raise InvalidInputError(
            [FieldError("cursor", "belongs to another list; use it with the same filters, sort and order")]
        )
    if not _fits(cursor.key, sort) or not 0 <= cursor.id <= MAXIMUM_BIGINT:
        raise InvalidInputError([FieldError("cursor", "is not one of ours; take it from the Link header")])
    return Position(cursor.key, cursor.id)


def _fits(key: str, sort: str) -> bool:
    """Whether PostgreSQL can read `key` as a key of this sort."""
    if not KEYS[sort].fullmatch(key):
        return False
    if sort in {"created", "updated"}:
        return int(key) <= MAXIMUM_BIGINT
    if sort in {"due_date", "deleted"} and not key.endswith("infinity"):
        try:
            datetime.fromisoformat(key)
        except ValueError:  # the 30th of February, the year 0
            return False
    return True
