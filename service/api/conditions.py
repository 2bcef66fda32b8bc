"""Conditional requests (RFC 9110 section 13): writes that are tied to a version, and reads of what has not changed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from sanic import HTTPResponse

from service.api import responses
from service.api.cursors import fingerprint
from service.api.requests import ApiRequest
from service.errors import FieldError, InvalidInputError
from service.models import Expected

# One element of a list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), with what ends it; it may be empty.
ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([^"\x00-\x20\x7f]*)"[ \t]*)?(?:,|\Z)')
VERSION = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
MAXIMUM_VERSION = 2**63 - 1  # PostgreSQL's bigint
ANY = "*"


class Tag(NamedTuple):
    """An entity tag: whether it is weak, and what stands in its quotes."""

    weak: bool
    opaque: str


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
    """What a write expects of its task, by `If-Match` and by the body's `if_version`; if both are sent both must hold.

    Tags are compared strongly, so a weak one matches nothing (RFC 9110 section 13.1.1). `*` holds for any task that
    is there. Raises InvalidInputError for a header that cannot be read: to overlook it would lose an update.
    """
    named = None if if_version is None else [if_version]
    if "if-match" not in request.headers:
        return None if named is None else Expected(named)
    text = _header(request, "if-match")
    if text == ANY:
        return None if named is None else Expected(named)
    try:
        tags = entity_tags(text)
    except ValueError:
        raise InvalidInputError([FieldError("If-Match", 'must be * or ETags in quotes, such as "7"')]) from None
    versions = [*_versions(tags)]
    if named is not None:
        versions = [version for version in versions if version in named]
    return Expected(versions, weakened=any(tag.weak for tag in tags))


def refuse_if_match(request: ApiRequest, instead: str = "many are deleted as they are") -> None:
    """Raise InvalidInputError where a write cannot be tied to an ETag, of many tasks for instance."""
    if "if-match" in request.headers:
        raise InvalidInputError([FieldError("If-Match", f"is for one live task; {instead}")])


def is_known(request: ApiRequest, etag: str) -> bool:
    """Whether the caller has what `etag` stands for, by `If-None-Match`, where weak tags do as well as strong ones.

    One that cannot be read names nothing: an answer in full is always right.
    """
    if "if-none-match" not in request.headers:
        return False
    text = _header(request, "if-none-match")
    try:
        return text == ANY or etag.strip('"') in {tag.opaque for tag in entity_tags(text)}
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


def _versions(tags: list[Tag]) -> Iterator[int]:
    for weak, opaque in tags:
        if not weak and VERSION.fullmatch(opaque) and int(opaque) <= MAXIMUM_VERSION:
            yield int(opaque)
