"""From a query string to a `TaskQuery`, and to what every answer to it needs."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from dataclasses import fields as fields_of
from datetime import date, datetime, time, timezone
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.api import conditions, cursors, fields, paging
from service.api.schemas import MAXIMUM_TAG, MAXIMUM_TAGS, PRIORITIES, WITHOUT_NUL, Tag, in_utc
from service.errors import FieldError, InvalidInputError
from service.models import TaskQuery
from service.text import fold, fold_tags

MAXIMUM_PAGE = 1_000
MAXIMUM_TEXT = 200
NATURALLY_DESCENDING = frozenset({"created", "updated", "priority"})
WHOLE = re.compile(r"\d{1,19}", re.ASCII)
WHOLE_NUMBERS = frozenset({"limit"})
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MINUTE = "%Y-%m-%dT%H:%M"
LAST_MOMENT = time(23, 59, 59, 999999, tzinfo=timezone.utc)


def _rule(sentence: str, **schema: object) -> Meta:
    return Meta(extra={"rule": sentence}, extra_json_schema={"description": sentence, **schema})


Bound = Annotated[
    str | UnsetType,
    _rule(
        "a day, or a moment with its offset",
        examples=["2026-12-24", "2026-12-24T18:00:00+01:00"],
        anyOf=[{"format": "date"}, {"format": "date-time"}],
    ),
]


Limit = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_PAGE)] | UnsetType,
    _rule("a number of tasks from 1 to 1000; without it the list is whole"),
]
Following = Annotated[str | UnsetType, _rule("the cursor that the Link header of the page before gave")]
Counted = Annotated[bool, _rule("true or false: whether X-Total-Count tells how many tasks match")]


class ListParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query of a list, as it comes in."""

    status: Annotated[Literal["all", "pending", "completed"], _rule("all, pending or completed")] = "all"
    priority: Annotated[
        list[Literal["none", "low", "medium", "high"]], _rule("none, low, medium or high; repeat it for any of several")
    ] = []
    tag: Annotated[
        list[Tag], _rule("a tag of 1 to 50 characters; repeat it for all of several", maxItems=MAXIMUM_TAGS)
    ] = []
    due_before: Bound = UNSET
    due_after: Bound = UNSET
    overdue: Annotated[
        bool, _rule("true or false: whether to keep only pending tasks whose due day (in UTC) or moment has passed")
    ] = False
    q: Annotated[
        str,
        _rule(
            "a text of at most 200 characters to find in title or description, ignoring case",
            maxLength=MAXIMUM_TEXT,
            pattern=WITHOUT_NUL,
        ),
    ] = ""
    sort: Annotated[
        Literal["created", "updated", "title", "due_date", "priority"],
        _rule("created, updated, title, due_date or priority"),
    ] = "created"
    order: Annotated[
        Literal["asc", "desc"] | UnsetType,
        _rule("asc or desc; by default newest first, A to Z, due soonest first, highest priority first"),
    ] = UNSET
    limit: Limit = UNSET
    cursor: Following = UNSET
    count: Counted = False


PARTS = attrgetter(*(part.name for part in fields_of(TaskQuery)))
REPEATABLE = frozenset({"priority", "tag"})


def parameters(query_string: str, kind: type[fields.S], repeatable: frozenset[str] = frozenset()) -> fields.S:
    """The query string as a `kind`; only `repeatable` names may come twice.

    Raises InvalidInputError for an unknown name, a value that breaks its rule, a repetition, or broken UTF-8.
    """
    values: dict[str, Any] = {}
    repeated = []
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise InvalidInputError([FieldError("query", "must be percent-encoded UTF-8 of at most 100 parts")]) from None
    for name, value in pairs:
        if name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in WHOLE_NUMBERS and not WHOLE.fullmatch(value):
            values[name] = None  # a fault, though msgspec would read '1e3' and '5.0' as whole numbers too
        elif name in values:
            repeated.append(FieldError(name, "may be sent only once"))
        else:
            values[name] = value
    if repeated:
        raise InvalidInputError(repeated)
    return fields.convert(values, kind, strict=False)


class Listing(NamedTuple):
    """What is asked for, and what each answer to it needs and always is the same."""

    query: TaskQuery
    listed: bytes  # the fingerprint that ties its cursors to it; empty for a whole list
    mark: str  # the query's part of an ETag
    following: str  # see `paging.following`

    @property
    def heavy(self) -> bool:
        """Whether the work may grow with the number of all the user's tasks (see `admission`)."""
        query = self.query
        return query.limit is None or query.count or query.text is not None or len(query.tags) > 1


# The same few lists are asked for again and again, and to work all this out took 28 µs, a quarter of our own time for a
# page of 20. 250 of the longest take 4 MB, and hold no user's id.
@lru_cache(maxsize=250)
def read(query_string: str) -> Listing:
    """What is asked for. Raises InvalidInputError."""
    sent = parameters(query_string, ListParameters, REPEATABLE)
    descending = sent.order == "desc" if sent.order is not UNSET else sent.sort in NATURALLY_DESCENDING
    tags = fold_tags(sent.tag)
    faulty = []
    if len(tags) > MAXIMUM_TAGS or not all(1 <= len(tag) <= MAXIMUM_TAG and "\0" not in tag for tag in tags.values()):
        faulty.append("tag")
    if len(sent.q) > MAXIMUM_TEXT or "\0" in sent.q:
        faulty.append("q")
    due_before, due_after = _bound(sent.due_before, time.min), _bound(sent.due_after, LAST_MOMENT)
    faulty += [name for name, bound in (("due_before", due_before), ("due_after", due_after)) if bound is False]
    if faulty:
        raise InvalidInputError([FieldError(name, fields.rule(ListParameters, name)) for name in faulty])
    limit = None if sent.limit is UNSET else sent.limit
    if sent.cursor is not UNSET and limit is None:
        raise InvalidInputError([FieldError("cursor", "needs a limit; send the one that the page before had")])
    query = TaskQuery(
        completed=None if sent.status == "all" else sent.status == "completed",
        priorities=tuple(sorted({PRIORITIES.index(priority) for priority in sent.priority})),
        tags=tuple(sorted(tags)),
        due_before=due_before or None,
        due_after=due_after or None,
        overdue=sent.overdue,
        text=fold(sent.q.strip()) or None,
        sort=sent.sort,
        descending=descending,
        limit=limit,
        count=sent.count,
    )
    listed = b"" if limit is None else cursors.fingerprint(asdict(query) | {"limit": None, "count": None})
    if sent.cursor is not UNSET:
        query = replace(query, after=cursors.read(sent.cursor, listed, query.sort))
    return Listing(query, listed, conditions.mark_of(PARTS(query)), paging.following(query_string))


def etag(listing: Listing, state: str) -> str:
    """The ETag of what is listed in the owner's `state`; what is overdue now may change with the minute."""
    if not listing.query.overdue:
        return conditions.etag_of(state, listing.mark)
    minute = datetime.now(timezone.utc).strftime(MINUTE)
    return conditions.etag_of(state, conditions.mark_of((minute, listing.mark)))


def _bound(text: str | UnsetType, at: time) -> datetime | Literal[False] | None:
    """A day's moment `at` in UTC, or the moment that `text` says; False when it says neither, None when unset."""
    if text is UNSET:
        return None
    try:
        if DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), at, timezone.utc)
        # An offset's '+' that was not percent-encoded arrives as a space, which no moment holds.
        moment = msgspec.convert(text.replace(" ", "+"), Annotated[datetime, Meta(tz=True)])
    except (ValueError, msgspec.ValidationError):
        return False
    return in_utc(moment) or False
