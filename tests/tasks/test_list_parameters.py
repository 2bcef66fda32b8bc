"""From a query string to a query, without a server."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.database.keyset import Page, Position
from service.errors import InvalidInputError
from service.tasks import listing
from service.tasks.models import Task
from service.tasks.queryset import FILTERS, NO_FILTERS
from service.tasks.selection import KEYS, Lists, TaskQuery
from service.web import cursors, paging
from tests.recording import sent

UTC = timezone.utc


def statement(user_id: str, query: TaskQuery) -> tuple[str, tuple[object, ...]]:
    """Return the statement of a list, and its arguments."""
    return sent(
        lambda connection: (
            Task.objects.for_user(user_id, using=connection)
            .matching(query)
            .page(query.limit, query.after, count=query.count)
        )
    )


def test_no_parameters_select_the_whole_list_newest_first():
    assert listing.read("")[:2] == (TaskQuery(), b"")


def test_each_parameter_becomes_a_part_of_the_query(subtests):
    for query, asked in [
        ("status=all", {}),
        ("status=pending", {"completed": False}),
        ("status=completed", {"completed": True}),
        ("priority=high&priority=none&priority=high", {"priorities": (0, 3)}),
        ("tag=+b&tag=A&tag=B", {"tags": ("a", "b")}),
        ("due_before=2026-12-24", {"due_before": datetime(2026, 12, 24, tzinfo=UTC)}),
        ("due_after=2026-12-24", {"due_after": datetime(2026, 12, 24, 23, 59, 59, 999999, tzinfo=UTC)}),
        ("due_after=2026-12-24T01:00:00%2B02:00", {"due_after": datetime(2026, 12, 23, 23, tzinfo=UTC)}),
        ("due_after=2026-12-24T01:00:00+02:00", {"due_after": datetime(2026, 12, 23, 23, tzinfo=UTC)}),
        ("overdue=true&count=true", {"overdue": True, "count": True}),
        ("overdue=false&count=false", {}),
        ("q=+a%25+", {"text": "a%"}),
        ("q=+", {}),
        ("list=inbox", {"lists": Lists((), (), inbox=True)}),
        (
            "list=7&list=019ACEEF-9a40-7c1e-8f3a-5b1d6c2e9f04&list=7",
            {"lists": Lists((7,), ("019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04",), inbox=False)},
        ),
        ("parent=none", {"parent": "none"}),
        ("parent=12", {"parent": 12}),
        ("parent=019ACEEF-9a40-7c1e-8f3a-5b1d6c2e9f04", {"parent": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"}),
        ("sort=title", {"sort": "title", "descending": False}),
        ("sort=due_date", {"sort": "due_date", "descending": False}),
        ("sort=priority", {"sort": "priority", "descending": True}),
        ("sort=updated&order=asc", {"sort": "updated", "descending": False}),
        ("limit=1000", {"limit": 1000}),
    ]:
        with subtests.test(query=query):
            assert listing.read(query).query == dataclasses.replace(TaskQuery(), **asked)


SAMPLES = {
    "list": "inbox", "parent": "12", "status": "pending", "priority": "high", "tag": "a",
    "due_before": "2026-12-24", "due_after": "2026-12-24",
    "overdue": "true", "q": "a", "sort": "title", "order": "asc", "limit": "6", "count": "true",
    "cursor": cursors.write(Position("5", 5), listing.read("limit=5").listed),
}  # fmt: skip
OF_A_PAGE = {"limit", "count", "cursor"}  # a cursor stays valid if these change


def test_every_parameter_changes_the_statement_and_its_etag_and_each_filter_the_list_of_a_cursor(server, subtests):
    plain = listing.read("limit=5")
    for name in [*listing.ListParameters.__struct_fields__, *listing.ALIASES]:
        with subtests.test(name=name):
            meant = listing.ALIASES.get(name, name)
            asked = listing.read(urlencode({"limit": "5"} | {name: SAMPLES[meant]}))
            assert asked.query != plain.query
            assert statement("alice", asked.query) != statement("alice", plain.query)
            assert asked.mark != plain.mark
            assert (asked.listed == plain.listed) == (meant in OF_A_PAGE)
            assert asked.query == listing.read(urlencode({"limit": "5"} | {meant: SAMPLES[meant]})).query


def test_equal_queries_have_equal_fingerprints_and_different_queries_different_ones():
    def listed(query: str) -> bytes:
        return listing.read(f"{query}&limit=5").listed

    same = ["", "status=all", "order=desc&sort=created", "q=+", "overdue=false", "count=true"]
    assert len({listed(query) for query in same}) == 1
    assert listing.read("limit=1").listed == listing.read("limit=1000").listed
    others = [
        "", "status=pending", "status=completed", "priority=low", "priority=low&priority=high", "tag=a", "tag=b",
        "tag=a&tag=b", "due_before=2026-12-24", "due_after=2026-12-24", "overdue=true", "q=a", "q=b", "sort=updated",
        "sort=title", "sort=title&order=desc", "sort=due_date", "sort=priority", "order=asc",
    ]  # fmt: skip
    assert len({listed(query) for query in others}) == len(others)


# During a deployment, the old release and the new one read each other's cursors. A new filter must not change these.
def test_a_cursor_is_valid_in_later_releases(subtests):
    filters = "status=pending&list=inbox&list=5&tag=Home&due_after=2026-12-24&overdue=true&q=Milk&sort=title&order=desc"
    for query, cursor, position in [
        ("limit=2", "k8QIJUMmP4nPu4ihNwc", Position("7", 7)),
        (f"limit=3&{filters}", "k8QIo7SfzQfbscChYgc", Position("b", 7)),
    ]:
        with subtests.test(query=query):
            assert listing.read(f"{query}&cursor={cursor}").query.after == position


def test_every_part_of_a_query_is_a_filter_or_named_as_none():
    assert {part.name for part in dataclasses.fields(TaskQuery)} == FILTERS.keys() | NO_FILTERS
    assert not FILTERS.keys() & NO_FILTERS


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([field.name for field in dataclasses.fields(TaskQuery)] + ["status", "tag", "q", "cursor"]),
            st.text(max_size=10) | st.sampled_from(["true", "1", "asc", "title", "2026-12-24", "high", "\0"]),
        ),
        max_size=4,
    ).map(lambda pairs: urlencode(pairs, errors="replace"))
    | st.text(st.characters(max_codepoint=126), max_size=40)
    | st.binary(max_size=20).map(lambda data: "q=" + quote(data))
)
def test_every_query_string_is_read_or_refused(server, query):
    try:
        asked = listing.read(query).query
    except InvalidInputError as error:
        assert error.detail.endswith((".", "?"))  # noqa: PT017 - both outcomes are valid
    else:
        text, arguments = statement("alice", asked)
        assert arguments[0] == "alice"
        assert f"${len(arguments)}" in text
        assert f"${len(arguments) + 1}" not in text


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=30), st.sampled_from(list(KEYS)))
def test_no_value_is_ever_part_of_the_sql_text(server, value, sort):
    marked = f"<<{value}>>"
    query = TaskQuery(
        tags=(marked,), text=marked, sort=sort, limit=7, after=Position(marked, 5), count=True, priorities=(1,)
    )  # fmt: skip
    text, arguments = statement(marked, query)
    assert "<<" not in text
    assert arguments[0] == marked


def test_a_repeated_query_is_cached_and_a_refusal_is_not():
    assert listing.read("limit=3&q=again") is listing.read("limit=3&q=again")
    refusals = []
    for _ in range(2):
        with pytest.raises(InvalidInputError) as refused:
            listing.read("limit=0")
        refusals.append(refused.value)
    assert refusals[0] is not refusals[1]


def test_a_page_before_the_last_links_to_the_next_with_the_same_query():
    position = Position("5", 5)
    page = Page("[]", position, None, "0")
    listed = listing.read("limit=1&q=a%26b+c&tag=x&tag=y").listed
    following = paging.following("limit=1&q=a%26b+c&cursor=old&tag=x&tag=y")
    found = paging.headers(page, "/api/a%2Fb/tasks", following, listed)
    cursor = cursors.write(position, listed)
    assert found == {"Link": f'</api/a%2Fb/tasks?limit=1&q=a%26b+c&tag=x&tag=y&cursor={cursor}>; rel="next"'}


def test_the_last_page_has_no_link_and_a_count_only_on_request():
    assert paging.headers(Page("[]", None, None, "0"), "/x", "", b"") == {}
    assert paging.headers(Page("[]", None, 0, "0"), "/x", "", b"") == {"X-Total-Count": "0"}
