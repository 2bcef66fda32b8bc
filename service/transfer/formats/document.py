"""Write an archive as one JSON document, with the user and the trash; read its lists and tasks."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.transfer.archive import Archive, pages
from service.transfer.formats.lines import Line
from service.transfer.formats.scanning import Scanner, ValueTooLargeError

FORMAT = "doable-export"
VERSION = 2  # version 1 had no lists
SHAPE = '{"format": "doable-export", "version": 2, "lists": [...], "tasks": [...]}'


class Document(Struct, kw_only=True, forbid_unknown_fields=True):
    """The members of a document. `lists` and `tasks` are empty here, because their items are read one by one."""

    tasks: tuple[()]
    lists: tuple[()] = ()
    format: Literal["doable-export"] = "doable-export"
    version: Literal[1, 2] = 2
    exported_at: Raw = Raw()
    user: Raw = Raw()


_decode = msgspec.json.Decoder(Document).decode
_decode_name = msgspec.json.Decoder(str).decode


async def write(archive: Archive) -> AsyncIterator[bytes]:
    """Write the document in pieces. The first piece follows the first database response.

    Raises UnavailableError, possibly after some of the pieces.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    owner = await archive.tasks.owner.exported() or "null"
    before = f'{{"format":"{FORMAT}","version":{VERSION},"exported_at":"{now}","user":{owner},"lists":['
    async for page in pages(archive.lists):
        yield (before + page).encode()
        before = ","
    before = ("" if before == "," else before) + '],"tasks":['
    async for page in pages(archive.tasks):
        yield (before + page).encode()
        before = ","
    yield (("" if before == "," else before) + "]}").encode()


def read(body: bytes) -> Iterator[Line | None]:
    """Read the lists and tasks of the document one by one. Yields None where the caller may yield to the event loop.

    A byte order mark is skipped. Raises MalformedInputError for bytes that are not JSON, and InvalidInputError for JSON
    that is not an export. Both may come after some of the lines.
    """
    scanner = Scanner(body, len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0)
    yield from scanner.space()
    if scanner.peek() != b"{":
        _refuse(scanner)
    sent: dict[str, bytes] = {}
    for ready in scanner.items(b"{}"):
        if not ready:
            yield None
            continue
        name = _name(scanner)
        yield from scanner.space()
        scanner.take(b":")
        yield from scanner.space()
        if name in sent or name not in Document.__struct_fields__:
            raise _another()
        if name in {"lists", "tasks"} and scanner.peek() == b"[":
            sent[name] = b"[]"
            yield from _items(scanner, name)
        else:
            sent[name] = _value(scanner)
    yield from scanner.space()
    if scanner.peek():
        raise MalformedInputError
    _validate(b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in sent.items()))


def _items(scanner: Scanner, name: str) -> Iterator[Line | None]:
    index = 0
    for ready in scanner.items(b"[]"):
        if not ready:
            yield None
            continue
        try:
            item = scanner.value()
        except ValueTooLargeError as error:
            raise InvalidInputError([FieldError(f"{name}[{index}]", str(error))]) from None
        yield Line(f"{name}[{index}].", item, is_list=name == "lists")
        index += 1


def _name(scanner: Scanner) -> str:
    try:
        return _decode_name(_value(scanner))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedInputError from None


def _value(scanner: Scanner) -> bytes:
    try:
        return scanner.value()
    except ValueTooLargeError:
        raise _another() from None


def _validate(document: bytes) -> None:
    try:
        _decode(document)
    except msgspec.ValidationError:
        raise _another() from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedInputError from None


def _refuse(scanner: Scanner) -> None:
    """Raise InvalidInputError for JSON other than an object, MalformedInputError for anything else."""
    value = _value(scanner)
    try:
        msgspec.json.decode(value, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedInputError from None
    raise _another()


def _another() -> InvalidInputError:
    return InvalidInputError([FieldError("body", f"must be an object such as {SHAPE}")])
