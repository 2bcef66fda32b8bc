"""Evaluate conditional requests (RFC 9110 section 13): writes at an expected version, and reads of unchanged data."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct
from sanic import HTTPResponse

from service.database.expected import MAXIMUM_BIGINT, Expected
from service.errors import FieldError, InvalidInputError
from service.web import responses, validation
from service.web.cursors import fingerprint
from service.web.fields import NOTHING
from service.web.request import ApiRequest

# One element of a list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), with its delimiter. It may be empty.
ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([^"\x00-\x20\x7f]*)"[ \t]*)?(?:,|\Z)')
# The version, and the suffix that `answers.etag` adds. A version without the suffix is unambiguous, thus valid.
VERSION = re.compile(r"([1-9][0-9]{0,18})(?:\.[0-9a-f]{8})?", re.ASCII)
# The suffix that servers and proxies append to the ETag of a response that they compress: Apache, Jetty and others.
SUFFIX = re.compile(r"(?:--?|[;:_/])(?:gzip|br|zstd|deflate)\Z")
ANY = "*"


class Nothing(Struct, forbid_unknown_fields=True):
    """No parameters or members. A filter is refused, because ignoring it would change more than intended."""


class Tag(NamedTuple):
    """An entity tag: whether it is weak, and the text between its quotes."""

    weak: bool
    opaque: str

    @property
    def original(self) -> str:
        """The text between the quotes before a proxy compressed the response."""
        return SUFFIX.sub("", self.opaque)

    @property
    def is_mangled(self) -> bool:
        """Whether a proxy has changed the tag. This service itself sends only strong tags."""
        return self.weak or self.original != self.opaque


def entity_tags(text: str) -> list[Tag]:
    """Return the entity tags in a header. Raises ValueError if `text` is not a list of them, or an empty list."""
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
    """Return the conditions of a write, from its headers and the body's `if_version`. All of them must be true.

    `If-Match` compares strongly (RFC 9110 section 13.1.1). A tag that a proxy has changed matches nothing, because it
    no longer names one exact state. `*` matches any existing task. `If-None-Match` compares weakly (section 13.1.2),
    and `*` excludes any existing task. Raises InvalidInputError for an invalid header, because ignoring it could lose
    an update.
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


def refuse(request: ApiRequest, instead: str = "a deletion of many tasks has no condition") -> None:
    """Raise InvalidInputError if a write that supports no ETag, such as one of many tasks, has a condition header."""
    faults = [
        FieldError(name, f"is for one live task or list; {instead}")
        for name in ("If-Match", "If-None-Match")
        if name in request.headers
    ]
    if faults:
        raise InvalidInputError(faults)


def refuse_content(request: ApiRequest, noun: str = "task") -> None:
    """Raise InvalidInputError for a write of the trash that has a body or a condition; both would be ignored."""
    if request.json_body.strip() not in NOTHING:
        validation.decode(request.json_body, Nothing)
    refuse(request, f"a {noun} in the trash cannot change, so it needs no condition")


def is_known(request: ApiRequest, etag: str) -> bool:
    """Return whether `If-None-Match` contains `etag`, so that the caller already has the content.

    Weak tags match too, and so do tags that a proxy has changed: they stand for the same content in another coding. An
    invalid header matches nothing, because a full response is always correct.
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
    """Return 304 if the caller already has the tasks at their current state, otherwise None.

    Read the state only if the request has `If-None-Match`. `etag` returns the ETag for a state.
    """
    if "if-none-match" not in request.headers:
        return None
    current = etag(await state())
    return responses.unchanged(current) if is_known(request, current) else None


def mark_of(asked: tuple[object, ...]) -> str:
    """Return a text that distinguishes the ETags of different queries (`asked`) about a user's tasks."""
    return fingerprint(asked).hex()


def etag_of(state: str, mark: str) -> str:
    """Return the ETag of a query about a user's tasks, from the query's `mark` and the user's `state`."""
    return f'"{state}-{mark}"'


def _header(request: ApiRequest, name: str) -> str:
    return ",".join(request.headers.getall(name))


def _condition(request: ApiRequest, name: str) -> list[Tag] | str | None:
    """Return the tags in a condition header, ANY for `*`, or None if it was not sent. Raises InvalidInputError."""
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
    """Yield the versions that the tags name. Skip tags that name none."""
    for text in opaque:
        found = VERSION.fullmatch(text)
        if found and int(found[1]) <= MAXIMUM_BIGINT:
            yield int(found[1])
