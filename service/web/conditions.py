"""Conditional requests (RFC 9110 section 13): writes that are tied to a version, and reads of what has not changed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from sanic import HTTPResponse

from service.database.expected import MAXIMUM_BIGINT, Expected
from service.errors import FieldError, InvalidInputError
from service.web import responses
from service.web.cursors import fingerprint
from service.web.request import ApiRequest

# One element of a list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), with what ends it; it may be empty.
ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([^"\x00-\x20\x7f]*)"[ \t]*)?(?:,|\Z)')
# The version, and what `responses.etag` puts behind it; a bare version can mean only one thing, so it will do.
VERSION = re.compile(r"([1-9][0-9]{0,18})(?:\.[0-9a-f]{8})?", re.ASCII)
# What servers and proxies that compress an answer put behind its ETag: Apache, Jetty and others.
SUFFIX = re.compile(r"(?:--?|[;:_/])(?:gzip|br|zstd|deflate)\Z")
ANY = "*"


class Tag(NamedTuple):
    """An entity tag: whether it is weak, and what stands in its quotes."""

    weak: bool
    opaque: str

    @property
    def original(self) -> str:
        """What stood in the quotes before a proxy compressed the answer."""
        return SUFFIX.sub("", self.opaque)

    @property
    def is_mangled(self) -> bool:
        """Whether a proxy has changed it. This service gives strong tags alone."""
        return self.weak or self.original != self.opaque


def entity_tags(text: str) -> list[Tag]:
    """The entity tags of a header. Raises ValueError for what is no list of them, or an empty one."""
    found, at = [], 0
    while at < len(text):
        element = ELEMENT.match(text, at)
        if element is None:
            raise ValueError("not a list of entity tags")
        if element[2] is not None:
            found.append(Tag(bool(element[1]), element[2]))
        at = element.end()
    if not found:
        raise ValueError("no entity tag")
    return found


def expected(request: ApiRequest, if_version: int | None) -> Expected | None:
    """What a write expects of its task, by its condition headers and by the body's `if_version`; all of them must hold.

    `If-Match` compares strongly (RFC 9110 section 13.1.1): a tag that a proxy has changed matches nothing, because it
    no longer names one exact state. `*` holds for any task that is there. `If-None-Match` compares weakly (section
    13.1.2), and `*` holds for none. Raises InvalidInputError for a header that cannot be read: to overlook it would
    lose an update.
    """
    matching, excluding = _condition(request, "If-Match"), _condition(request, "If-None-Match")
    versions: list[int] | None = None if if_version is None else [if_version]
    if isinstance(matching, list):
        sent = _versions(tag.opaque for tag in matching if not tag.weak)
        versions = [version for version in sent if if_version in {None, version}]
    if versions is None and excluding is None:
        return None
    return Expected(
        versions,
        excluded=[*_versions(tag.original for tag in excluding)] if isinstance(excluding, list) else (),
        absent=excluding == ANY,
        mangled=isinstance(matching, list) and any(tag.is_mangled for tag in matching),
    )


def refuse(request: ApiRequest, instead: str = "many are deleted as they are") -> None:
    """Raise InvalidInputError where a write cannot be tied to an ETag, of many tasks for instance."""
    faults = [
        FieldError(name, f"is for one live task; {instead}")
        for name in ("If-Match", "If-None-Match")
        if name in request.headers
    ]
    if faults:
        raise InvalidInputError(faults)


def is_known(request: ApiRequest, etag: str) -> bool:
    """Whether the caller has what `etag` stands for, by `If-None-Match`, where weak tags do as well as strong ones.

    So do tags that a proxy has changed: they stand for the same content in another coding.
    One that cannot be read names nothing: an answer in full is always right.
    """
    if "if-none-match" not in request.headers:
        return False
    text = _header(request, "if-none-match")
    try:
        return text == ANY or etag.strip('"') in {
            name for tag in entity_tags(text) for name in (tag.opaque, tag.original)
        }
    except ValueError:
        return False


async def unchanged(
    request: ApiRequest, state: Callable[[], Awaitable[str]], etag: Callable[[str], str]
) -> HTTPResponse | None:
    """304 if the caller has what `etag` makes of the tasks' state; the state is read only for who might have it."""
    if "if-none-match" not in request.headers:
        return None
    current = etag(await state())
    return responses.unchanged(current) if is_known(request, current) else None


def mark_of(asked: tuple[object, ...]) -> str:
    """What tells ETags apart of all that can be `asked` about a user's tasks."""
    return fingerprint(asked).hex()


def etag_of(state: str, mark: str) -> str:
    """The ETag of what was asked about all tasks of a user, by its `mark`, in that user's `state`."""
    return f'"{state}-{mark}"'


def _header(request: ApiRequest, name: str) -> str:
    return ",".join(request.headers.getall(name)).strip(" \t")


def _condition(request: ApiRequest, name: str) -> list[Tag] | str | None:
    """The tags of a condition header, ANY, or None where it was not sent. Raises InvalidInputError."""
    if name not in request.headers:
        return None
    text = _header(request, name)
    if text == ANY:
        return ANY
    try:
        return entity_tags(text)
    except ValueError:
        raise InvalidInputError([FieldError(name, 'must be * or ETags in quotes, such as "7"')]) from None


def _versions(opaque: Iterable[str]) -> Iterator[int]:
    """The versions that tags of tasks name."""
    for text in opaque:
        found = VERSION.fullmatch(text)
        if found and int(found[1]) <= MAXIMUM_BIGINT:
            yield int(found[1])
