"""An archive as one JSON document: the whole of it, user and trash included."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from service.api.formats.lines import Line
from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.models import UserArchive

FORMAT = "doable-export"
VERSION = 1
SHAPE = '{"format": "doable-export", "version": 1, "tasks": [...]}'


class Document(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is read of a document: its tasks, each still as text. Who and when it was are of no interest."""

    tasks: list[Raw]
    format: Literal["doable-export"] = "doable-export"
    version: Literal[1] = 1
    exported_at: Raw = Raw()
    user: Raw = Raw()


_decode = msgspec.json.Decoder(Document).decode


async def write(archive: UserArchive) -> AsyncIterator[bytes]:
    """The document in pieces, none before the database has answered. Raises UnavailableError, at any piece."""
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    owner = await archive.owner() or "null"
    before = f'{{"format":"{FORMAT}","version":{VERSION},"exported_at":"{now}","user":{owner},"tasks":['
    async for page in archive.pages(trash=True):
        yield (before + page).encode()
        before = ","
    yield (("" if before == "," else before) + "]}").encode()


def read(body: bytes) -> Iterator[Line]:
    """The tasks of the document; a byte order mark before it is no part of it.

    Raises MalformedInputError, or InvalidInputError when it is another document.
    """
    try:
        tasks = _decode(body.removeprefix(BOM_UTF8)).tasks
    except msgspec.ValidationError:
        raise InvalidInputError([FieldError("body", f"must be an object such as {SHAPE}")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedInputError from None
    return (Line(f"tasks[{index}].", bytes(task)) for index, task in enumerate(tasks))
