"""Lists: filters, search, counting, and refused queries."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

ALLOWED = "status, list, parent, priority, tag, due_before, due_after, overdue, q, sort, order, limit, cursor, count"

REFUSED = [
    ("foo=1", "foo", ALLOWED),
    ("Status=all", "Status", "did you mean 'status'?"),
    ("page=2", "page", "pages use 'limit', and then the 'cursor' of the Link header; known names:"),
    ("offset=20", "offset", ALLOWED),
    ("per_page=", "per_page", "pages use 'limit'"),
    ("foo=", "foo", ALLOWED),
    ("completed=true", "completed", "did you mean 'status'?"),
    ("is_completed=true", "is_completed", "did you mean 'status'?"),
    ("query=milk", "query", "did you mean 'q'?"),
    ("category=home", "category", "did you mean 'tag'?"),
    ("label=home", "label", "did you mean 'tag'?"),
    ("dueBefore=2026-12-24", "dueBefore", "did you mean 'due_before'?"),
    ("order_by=title", "order_by", "did you mean 'sort'?"),
    ("priority[]=high&priority[]=low", "priority[]", "once for each value: priority=a&priority=b; known names:"),
    ("tag%5B0%5D=home", "tag[0]", "send it as 'tag'"),
    ("search=a&q=b", "q", "is another name of search"),
    ("sort=title&sort_by=title", "sort_by", "is another name of sort"),
    ("search=a&search=b", "search", "only once"),
    ("sort_by=name", "sort", "created, updated, title"),
    ("due_before=2026-12-24%2018:00", "due_before", "has no offset from UTC"),
    ("due_before=2026-12-24+01:00", "due_before", "has no offset from UTC"),
    ("tag=%E2%80%8B", "tag", "1 to 50 characters"),
    ("tags=home", "tags", "did you mean 'tag'?"),
    ("=", "", ALLOWED),
    ("%00=1", "\0", ALLOWED),
    ("status=done", "status", "all, pending or completed"),
    ("status=All", "status", "all, pending or completed"),
    ("status=all&status=all", "status", "only once"),
    ("priority=urgent", "priority", "none, low, medium or high"),
    ("priority=high,low", "priority", "none, low, medium or high"),
    ("tag=%20", "tag", "1 to 50 characters"),
    ("tag=a%00", "tag", "1 to 50 characters"),
    ("tag=" + "t" * 51, "tag", "1 to 50 characters"),
    ("&".join(f"tag=t{number}" for number in range(21)), "tag", "1 to 50 characters"),
    ("due_before=tomorrow", "due_before", "a day, or a timestamp with its offset"),
    ("due_before=2026-02-29", "due_before", "a day, or a timestamp with its offset"),
    ("due_before=2026-12-24T12:00:00", "due_before", "has no offset from UTC"),
    ("due_after=1798135200", "due_after", "a day, or a timestamp with its offset"),
    ("due_after=0001-01-01T00:00:00%2B00:01", "due_after", "years 1 to 9999"),
    ("due_after=infinity", "due_after", "a day, or a timestamp with its offset"),
    ("due_after=2026-01-01&due_after=2026-01-02", "due_after", "only once"),
    ("overdue=yes", "overdue", "true or false"),
    ("count=2", "count", "true or false"),
    ("q=" + "m" * 201, "q", "at most 200 characters"),
    ("q=a%00b", "q", "at most 200 characters"),
    ("q=a&q=b", "q", "only once"),
    ("sort=name", "sort", "created, updated, title, due_date, priority or position"),
    ("sort=-created", "sort", "created, updated, title, due_date, priority or position"),
    ("order=down", "order", "asc or desc"),
    *(
        (f"limit={limit}", "limit", "from 1 to 1000")
        for limit in (
            "0", "-1", "1001", "5000", "1e3", "5.0", "%2B5", "+5", "%205", "5%20", "0x10", "1_0", "true",
            "null", "%D9%A3", "99999999999999999999", "9" * 5000, "Infinity", "ten",
        )
    ),
    ("limit=5&limit=5", "limit", "only once"),
    ("q=%ff", "query", "percent-encoded UTF-8"),
    ("q=%C3", "query", "percent-encoded UTF-8"),
    ("q=%ED%A0%80", "query", "percent-encoded UTF-8"),
    ("%ff=1", "query", "percent-encoded UTF-8"),
    ("&".join(["tag=a"] * 101), "query", "at most 100 parts"),
]  # fmt: skip


async def titles(caller, query: str = "") -> list[str]:
    response = await caller.get(f"{caller.path}?{query}")
    assert response.status_code == 200, response.text
    return sorted(task["title"] for task in response.json())


async def test_without_a_token_there_is_no_list(alice, http, refusal):
    await alice.make()
    refusal(await http.get(alice.path), 401, "authentication_required")


async def test_another_user_gets_no_list(alice, bob, refusal):
    await alice.make()
    refusal(await bob.get(alice.path), 403, "forbidden")
    assert (await bob.get(bob.path)).json() == []


async def test_a_list_is_a_bare_array_of_whole_tasks_the_newest_first(alice, private):
    made = [await alice.make(title) for title in "abc"]
    response = await alice.get(alice.path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert not {"link", "x-total-count"} & set(response.headers)
    private(response)
    assert response.json() == made[::-1]


async def test_an_empty_list_is_an_empty_array(alice):
    response = await alice.get(alice.path)
    assert (response.status_code, response.content) == (200, b"[]")
    assert (await alice.get(alice.path, params={"q": "nothing", "limit": 1})).content == b"[]"


async def test_without_a_limit_the_list_is_whole(alice, connection):
    await alice.make()
    await connection.execute(
        "INSERT INTO tasks (user_id, id, uid, title_key, tag_keys, "
        "title, completed, priority, tags, created_at, updated_at, version) "
        "SELECT 'alice', n, gen_random_uuid(), "
        "'', '{}', 'Task ' || n, false, 0, '{}', now(), now(), n FROM generate_series(2, 1500) AS n"
    )
    response = await alice.get(alice.path)
    assert len(response.json()) == 1500
    assert "link" not in response.headers


class TestFilters:
    @pytest.fixture(autouse=True)
    async def tasks(self, alice):
        await alice.make("nothing")
        await alice.make("low", priority="low", tags=["home"])
        await alice.make("high", priority="high", tags=["Home", "Garden", "Straße"], completed=True)
        await alice.make("medium", priority="medium", tags=["ÉCOLE", "garden"])
        deleted = await alice.make("deleted", priority="high", tags=["home", "garden"])
        await alice.delete(f"{alice.path}/{deleted['id']}")

    async def test_filters_combine_and_apply_to_the_count(self, alice, subtests):
        for query, expected in [
            ("status=all", ["high", "low", "medium", "nothing"]),
            ("status=pending", ["low", "medium", "nothing"]),
            ("status=completed", ["high"]),
            ("priority=none", ["nothing"]),
            ("priority=high&priority=low", ["high", "low"]),
            ("priority=low&priority=low", ["low"]),
            ("priority=none&priority=low&priority=medium&priority=high", ["high", "low", "medium", "nothing"]),
            ("tag=home", ["high", "low"]),
            ("tag=%20HOME%20", ["high", "low"]),
            ("tag=garden&tag=home", ["high"]),
            ("tag=GARDEN&tag=garden", ["high", "medium"]),
            ("tag=%C3%A9cole", ["medium"]),
            ("tag=stra%C3%9Fe", ["high"]),
            ("tag=gard", []),
            ("tag=%25", []),
            ("status=pending&tag=garden&priority=medium", ["medium"]),
            ("status=completed&tag=garden&priority=medium", []),
            ("overdue=false&q=", ["high", "low", "medium", "nothing"]),
            ("&&status=completed&", ["high"]),
        ]:
            with subtests.test(query=query, expected=expected):
                assert await titles(alice, query) == expected
                whole = await alice.get(f"{alice.path}?{query}&count=true")
                assert sorted(task["title"] for task in whole.json()) == expected
                assert whole.headers["x-total-count"] == str(len(expected))
                counted = await alice.get(f"{alice.path}?{query}&count=true&limit=1")
                assert counted.headers["x-total-count"] == str(len(expected))
                assert len(counted.json()) == min(1, len(expected))
        assert "x-total-count" not in (await alice.get(f"{alice.path}?status=all&count=false")).headers


class TestSearch:
    @pytest.fixture(autouse=True)
    async def tasks(self, alice):
        await alice.make("Buy MILK")
        await alice.make("Call Zoë", description="about the milk\nand ÄPFEL")
        await alice.make("100% sure_thing \\ 'quoted'")
        await alice.make("1000 sure things")

    async def test_a_text_is_found_in_title_or_description_ignoring_case(self, alice, subtests):
        for text, expected in [
            ("milk", ["Buy MILK", "Call Zoë"]),
            ("  Milk ", ["Buy MILK", "Call Zoë"]),
            ("y m", ["Buy MILK"]),
            ("milk\nand", ["Call Zoë"]),
            ("ZOË", ["Call Zoë"]),
            ("äpfel", ["Call Zoë"]),
            ("%", ["100% sure_thing \\ 'quoted'"]),
            ("100%", ["100% sure_thing \\ 'quoted'"]),
            ("sure_", ["100% sure_thing \\ 'quoted'"]),
            ("\\ 'q", ["100% sure_thing \\ 'quoted'"]),
            ("sure", ["100% sure_thing \\ 'quoted'", "1000 sure things"]),
            (".*", []),
            ("tea", []),
            ("m" * 200, []),
            ("", ["100% sure_thing \\ 'quoted'", "1000 sure things", "Buy MILK", "Call Zoë"]),
        ]:
            with subtests.test(text=text, expected=expected):
                response = await alice.get(alice.path, params={"q": text})
                assert response.status_code == 200
                assert sorted(task["title"] for task in response.json()) == expected


class TestDue:
    @pytest.fixture(autouse=True)
    async def tasks(self, alice):
        await alice.make("never")
        await alice.make("day 23", due_date="2026-12-23")
        await alice.make("day 24", due_date="2026-12-24")
        await alice.make("day 25", due_date="2026-12-25")
        await alice.make("24 at 00:00", due_at="2026-12-24T00:00:00Z")
        await alice.make("24 at 12:00", due_at="2026-12-24T12:00:00Z")
        await alice.make("25 at 00:00", due_at="2026-12-25T00:00:00Z")

    async def test_due_bounds_may_be_days_or_times(self, alice, subtests):
        for query, expected in [
            ("due_before=2026-12-24", ["day 23"]),
            ("due_after=2026-12-24", ["25 at 00:00", "day 25"]),
            ("due_after=2026-12-23&due_before=2026-12-25", ["24 at 00:00", "24 at 12:00", "day 24"]),
            ("due_before=2026-12-24T12:00:00Z", ["24 at 00:00", "day 23"]),
            ("due_after=2026-12-24T12:00:00Z", ["25 at 00:00", "day 24", "day 25"]),
            ("due_before=2026-12-24T13:00:00.000001%2B01:00", ["24 at 00:00", "24 at 12:00", "day 23"]),
            ("due_before=2026-12-24T13:00:00.000001+01:00", ["24 at 00:00", "24 at 12:00", "day 23"]),
            ("due_before=2026-12-24T06:00:00-06:00", ["24 at 00:00", "day 23"]),
            ("due_after=9999-12-31", []),
            ("due_before=0001-01-01", []),
            ("due_after=2027-01-01&due_before=2026-01-01", []),
        ]:
            with subtests.test(query=query, expected=expected):
                assert await titles(alice, query) == expected

    @pytest.mark.parametrize(
        "query", ["due_after=0001-01-01T00:00:00Z", "due_before=9999-12-31T23:59:59.999999Z", "due_before=9999-12-31"]
    )
    async def test_tasks_that_are_never_due_match_no_bounds(self, alice, query):
        assert len(await titles(alice, query)) == 6


async def test_the_first_and_last_day_of_the_calendar_are_valid_bounds(alice):
    await alice.make("first", due_at="0001-01-01T00:00:00Z")
    await alice.make("last", due_at="9999-12-31T23:59:59.999999Z")
    await alice.make("last day", due_date="9999-12-31")
    assert await titles(alice, "due_after=0001-01-01T00:00:00Z") == ["last", "last day"]
    assert await titles(alice, "due_before=9999-12-31T23:59:59.999999Z") == ["first"]
    assert await titles(alice, "due_before=9999-12-31") == ["first"]
    assert await titles(alice, "due_after=0001-01-01") == ["last", "last day"]


async def test_pending_tasks_past_their_utc_day_or_time_are_overdue(alice):
    now = datetime.now(timezone.utc)
    await alice.make("never")
    await alice.make("long ago", due_date="2020-01-01")
    await alice.make("long ago but done", due_date="2020-01-01", completed=True)
    await alice.make("two days ago", due_date=str((now - timedelta(days=2)).date()))
    await alice.make("tomorrow", due_date=str((now + timedelta(days=1)).date()))
    await alice.make("a minute ago", due_at=(now - timedelta(minutes=1)).isoformat())
    await alice.make("in an hour", due_at=(now + timedelta(hours=1)).isoformat())
    assert await titles(alice, "overdue=true") == ["a minute ago", "long ago", "two days ago"]
    assert await titles(alice, "overdue=true&status=completed") == []
    assert len(await titles(alice, "overdue=false")) == 7


async def test_an_invalid_query_is_refused_with_the_valid_values(alice, refusal, statements, subtests):
    for query, field, hint in REFUSED:
        with subtests.test(query=query):
            with statements() as seen:
                response = await alice.get(f"{alice.path}?{query}")
            body = refusal(response, 422, "validation_error", field)
            assert hint in body["errors"][0]["message"]
            assert seen == []


async def test_all_faults_of_a_query_are_named_at_once(alice, refusal):
    response = await alice.get(f"{alice.path}?status=done&foo=1&limit=0")
    refusal(response, 422, "validation_error", "status", "foo", "limit")


async def test_a_percent_sign_without_hex_digits_is_literal(alice):
    await alice.make("100%zz")
    assert await titles(alice, "q=%zz") == ["100%zz"]
    assert await titles(alice, "q=100%") == ["100%zz"]


async def test_a_plus_in_a_query_is_a_space(alice):
    await alice.make("two words")
    assert await titles(alice, "q=two+words") == ["two words"]
    assert await titles(alice, "q=two%2Bwords") == []


ALIASES = [
    ("search=milk", "q=milk"), ("sort_by=title", "sort=title"), ("sort=created_at", "sort=created"),
    ("sort=updated_at", "sort=updated"), ("sort_by=updated_at&sort_order=asc", "sort=updated&order=asc"),
    ("priority=HIGH", "priority=high"), ("priority=High&priority=lOW", "priority=low&priority=high"),
    ("due_before=2026-12-24%2018:00:00Z", "due_before=2026-12-24T18:00:00Z"),
    ("due_before=2026-12-24 18:00:00 01:00", "due_before=2026-12-24T17:00:00Z"),
    ("due_before=2026-12-24T18:00+01", "due_before=2026-12-24T17:00:00Z"),
    ("due_before=2026-12-24T18:00:00.1234569%2b0100", "due_before=2026-12-24T17:00:00.123456Z"),
    ("status=&tag=&priority=&q=&sort=&order=&overdue=&count=&due_before=&due_after=&limit=&cursor=", ""),
    ("search=&q=milk", "q=milk"),
]  # fmt: skip


async def test_aliases_of_parameters_return_the_same_list(alice, subtests):
    for title in ("Buy milk", "Drink milk", "Sleep"):
        await alice.make(title, priority="high", due_date="2026-12-01")
    for other, own in ALIASES:
        with subtests.test(other=other, own=own):
            one, two = await alice.get(f"{alice.path}?{other}"), await alice.get(f"{alice.path}?{own}")
            assert (one.status_code, two.status_code) == (200, 200), one.text
            assert one.json() == two.json()
            assert one.headers["etag"] == two.headers["etag"]
            page = await alice.get(f"{alice.path}?{other}&limit=1")
            cursor = page.links["next"]["url"].rpartition("cursor=")[2]
            assert page.links["next"]["url"].count("cursor=") == 1
            following = await alice.get(f"{alice.path}?{own}&limit=1&cursor={cursor}")
            assert following.status_code == 200
            assert following.json() != page.json()


async def test_a_mass_deletion_still_requires_a_status(alice, refusal):
    await alice.make()
    refusal(await alice.delete(f"{alice.path}?status="), 422, "validation_error", "status")
    assert len((await alice.get(alice.path)).json()) == 1
