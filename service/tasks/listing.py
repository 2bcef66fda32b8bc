"""Convert the query string of a list to a `TaskQuery`, with the values that each response to it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time, timezone
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from service.database.items import Reference, read_reference
from service.database.querysets import Verbs
from service.errors import FieldError, InvalidInputError
from service.tasks.fields import MAXIMUM_TAG, MAXIMUM_TAGS, PRIORITIES, Tag, read_priority
from service.tasks.queryset import verbs_of
from service.tasks.selection import AT_TOP_LEVEL, Lists, TaskQuery
from service.web import conditions, cursors, moments, paging, parameters, validation
from service.web.fields import WITHOUT_NUL
from service.web.text import fold, fold_tags, is_blank

MAXIMUM_PAGE = 1_000
MAXIMUM_TEXT = 200
NATURALLY_DESCENDING = frozenset({"created", "updated", "priority"})
MINUTE = "%Y-%m-%dT%H:%M"
# Names of parameters and values in other services, which are accepted too.
ALIASES = MappingProxyType({"search": "q", "sort_by": "sort", "sort_order": "order"})
SORT_ALIASES = {"created_at": "created", "updated_at": "updated"}


def _rule(sentence: str, **schema: object) -> Meta:
    return Meta(extra={"rule": sentence}, extra_json_schema={"description": sentence, **schema})


def _bound_rule(tasks: str) -> Meta:
    rule = "a day, or a timestamp with its offset"
    return _rule(
        rule,
        description=f"{rule}: only {tasks}",
        examples=["2026-12-24", "2026-12-24T18:00:00+01:00"],
        anyOf=[{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}],
    )


Limit = Annotated[
    Annotated[int, Meta(ge=1, le=MAXIMUM_PAGE)] | UnsetType,
    _rule("a number of tasks from 1 to 1000; without it, all tasks are returned"),
]
Following = Annotated[str | UnsetType, _rule("the cursor from the Link header of the previous page")]
Counted = Annotated[bool, _rule("true or false: whether X-Total-Count has the number of matching tasks")]


# The class below has a field `list`, which would hide the type.
# An id or a uid. The parameters accept other spellings too.
NAMED = "[1-9][0-9]{0,17}|[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
OfLists = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"pattern": f"^(inbox|{NAMED})$"})]],
    _rule("the id or uid of a list, or inbox; repeat it for several; without it, all lists but the archived ones"),
]
Priorities = list[Annotated[str, Meta(extra_json_schema={"enum": [*PRIORITIES]})]]
Tags = list[Tag]


class ListParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query parameters of a list."""

    status: Annotated[Literal["all", "pending", "completed"], _rule("all, pending or completed")] = "all"
    list: OfLists = []
    parent: Annotated[
        str | UnsetType,
        _rule("the id or uid of a task, for its subtasks; none for top-level tasks", pattern=f"^(none|{NAMED})$"),
    ] = UNSET
    priority: Annotated[
        Priorities,
        _rule("none, low, medium or high; repeat it to match any of several"),
    ] = []
    tag: Annotated[Tags, _rule("a tag of 1 to 50 characters; repeat it to require several", maxItems=MAXIMUM_TAGS)] = []
    due_before: Annotated[
        str | UnsetType, _bound_rule("tasks that are due before it; a day stands for its first moment, in UTC")
    ] = UNSET
    due_after: Annotated[
        str | UnsetType, _bound_rule("tasks that are due after it; a day stands for its last moment, in UTC")
    ] = UNSET
    overdue: Annotated[
        bool, _rule("true or false: whether to return only pending tasks whose due day (in UTC) or time has passed")
    ] = False
    q: Annotated[
        str,
        _rule(
            "a text of at most 200 characters to find in title or description, ignoring case; search is an alias",
            maxLength=MAXIMUM_TEXT,
            pattern=WITHOUT_NUL,
        ),
    ] = ""
    sort: Annotated[
        Literal["created", "updated", "title", "due_date", "priority", "position", "created_at", "updated_at"],
        _rule(
            "created, updated, title, due_date, priority or position (created_at and updated_at are aliases); sort_by "
            "is an alias"
        ),
    ] = "created"
    order: Annotated[
        Literal["asc", "desc"] | UnsetType,
        _rule(
            "asc or desc; by default newest first, A to Z, due soonest first, highest priority first, in manual order; "
            "sort_order is an alias"
        ),
    ] = UNSET
    limit: Limit = UNSET
    cursor: Following = UNSET
    count: Counted = False


REPEATABLE = frozenset({"list", "priority", "tag"})
INBOX = "inbox"


class Listing(NamedTuple):
    """A query, and the values that do not change between its responses."""

    query: TaskQuery
    listed: bytes  # the fingerprint in its cursors; empty for a list without a limit
    mark: str  # the part of the ETag that depends on the query
    following: str  # see `paging.following`
    verbs: Verbs  # of the queryset that reads the list
    heavy: bool  # whether the work may grow with the number of the user's tasks (see `admission`)


def _priorities(sent: list[str]) -> tuple[int, ...]:
    return tuple(sorted({read_priority(priority) for priority in sent}))


def completed_of(status: str) -> bool | None:
    """Return whether the parameter `status` selects completed tasks or pending ones; None for all."""
    return None if status == "all" else status == "completed"


def lists_of(sent: list[str]) -> Lists | None:
    """Return the lists that the parameter `list` names. Raises InvalidInputError."""
    try:
        return _lists(sent)
    except ValueError:
        raise InvalidInputError([FieldError("list", validation.rule(ListParameters, "list"))]) from None


def _lists(sent: list[str]) -> Lists | None:
    """Read references to lists, or INBOX. Returns None if there are none. Raises ValueError."""
    named = {read_reference(one) for one in sent if one.lower() != INBOX}
    ids = sorted(one for one in named if isinstance(one, int))
    uids = sorted(one for one in named if isinstance(one, str))
    return Lists(tuple(ids), tuple(uids), any(one.lower() == INBOX for one in sent)) if sent else None


def _parent(sent: str | UnsetType) -> Reference | None:
    if sent is UNSET:
        return None
    return AT_TOP_LEVEL if sent.lower() == AT_TOP_LEVEL else read_reference(sent)


def _tags(sent: list[str]) -> tuple[str, ...]:
    if not all(len(tag.strip()) <= MAXIMUM_TAG and not is_blank(tag) and "\0" not in tag for tag in sent):
        raise ValueError
    tags = fold_tags(sent)
    if len(tags) > MAXIMUM_TAGS:
        raise ValueError
    return tuple(sorted(tags))


def _search(sent: str) -> str | None:
    if len(sent) > MAXIMUM_TEXT or "\0" in sent:
        raise ValueError
    return fold(sent.strip()) or None


def _bound(at: time) -> Callable[[str | UnsetType], datetime | None]:
    return lambda sent: None if sent is UNSET else moments.read_bound(sent, at)


# The part of the query to which a parameter belongs, and the reader that converts its value, which has the right type.
# A reader raises ValueError for an invalid value, as `fields.CLEANERS` do.
READERS: Mapping[str, tuple[str, Callable[[Any], object]]] = MappingProxyType(
    {
        "status": ("completed", completed_of),
        "list": ("lists", _lists),
        "parent": ("parent", _parent),
        "priority": ("priorities", _priorities),
        "tag": ("tags", _tags),
        "due_before": ("due_before", _bound(time.min)),
        "due_after": ("due_after", _bound(moments.LAST_MOMENT)),
        "overdue": ("overdue", bool),
        "q": ("text", _search),
        "count": ("count", bool),
    }
)


# Clients repeat the same few lists, and to read a query took 28 µs, a quarter of our own time for a page of 20. 250 of
# the longest queries take 4 MB. They contain no user id.
@lru_cache(maxsize=250)
def read(query_string: str) -> Listing:
    """Read the query string of a list. Raises InvalidInputError."""
    sent = parameters.read(query_string, ListParameters, REPEATABLE, ALIASES)
    sort = SORT_ALIASES.get(sent.sort, sent.sort)
    descending = sent.order == "desc" if sent.order is not UNSET else sort in NATURALLY_DESCENDING
    found: dict[str, Any] = {}
    faults = []
    for name, (part, read_value) in READERS.items():
        try:
            found[part] = read_value(getattr(sent, name))
        except ValueError as error:
            faults.append(FieldError(name, str(error) or validation.rule(ListParameters, name)))
    if faults:
        raise InvalidInputError(faults)
    limit = None if sent.limit is UNSET else sent.limit
    if sent.cursor is not UNSET and limit is None:
        raise InvalidInputError([FieldError("cursor", "needs a limit; send the limit of the previous page")])
    query = TaskQuery(**found, sort=sort, descending=descending, limit=limit)
    # Without the parts that have their defaults: a later release may have more parts, and must know these cursors.
    listed = b"" if limit is None else cursors.fingerprint(replace(query, limit=None, count=False).given())
    if sent.cursor is not UNSET:
        query = replace(query, after=cursors.read(sent.cursor, listed, query.sort))
    heavy = limit is None or query.count or query.text is not None or len(query.tags) > 1
    mark, following = conditions.mark_of(tuple(query.given().items())), paging.following(query_string)
    return Listing(query, listed, mark, following, verbs_of(query), heavy)


def etag(listing: Listing, state: str) -> str:
    """Return the ETag of a list in the owner's `state`. The ETag of overdue tasks changes with each minute."""
    if not listing.query.overdue:
        return conditions.etag_of(state, listing.mark)
    minute = datetime.now(timezone.utc).strftime(MINUTE)
    return conditions.etag_of(state, conditions.mark_of((minute, listing.mark)))
