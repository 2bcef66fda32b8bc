"""The order of lists, and reading them page by page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from itertools import product
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
import pytest

NEXT = re.compile(r'<([^<>"\s]+)>; rel="next"')
SORTS = ["created", "updated", "title", "due_date", "priority"]
# Ties and nulls in every column; the last task in one order is in the middle of another.
TASKS = [
    {"title": "beta", "due_date": "2026-12-24", "priority": "low"},
    {"title": "Alpha", "priority": "high"},
    {"title": "alpha", "due_at": "2026-12-24T18:00:00Z", "priority": "high"},
    {"title": "Émile", "due_date": "0001-01-01"},
    {"title": "zeta", "due_date": "9999-12-31", "priority": "medium"},
    {"title": "ALPHA", "due_at": "9999-12-31T23:59:59.999999Z"},
    {"title": 'a"\\\n%_', "due_at": "0001-01-01T00:00:00Z", "priority": "low"},
    {"title": "İ" * 200, "due_date": "2026-12-24", "priority": "low"},
    {"title": "😀", "completed": True},
    {"title": "beta", "due_at": "2026-12-24T23:59:59.999999Z", "priority": "low"},
    {"title": "10", "due_at": "2026-12-24T18:00:00.000001Z"},
    {"title": "9", "tags": ["home"]},
]


async def write(caller, created: list[dict], deleted: Iterable[dict] = ()) -> list[dict]:
    """Delete and create tasks with one batch. Returns the new ones."""
    operations = [{"op": "delete", "id": task["id"]} for task in deleted]
    operations += [{"op": "create", "task": fields} for fields in created]
    response = await caller.post(f"{caller.path}/batch", json={"operations": operations, "atomic": False})
    assert response.status_code == 200, response.text
    return [result["task"] for result in response.json()["results"] if result["status"] == 201]


@pytest.fixture
async def tasks(alice):
    made = await write(alice, TASKS)
    return [(await alice.patch(f"{alice.path}/{made[4]['id']}", json={"tags": ["x"]})).json(), *made[:4], *made[5:]]


async def walk(caller, url: str) -> list[dict]:
    """Return all tasks of a list, by following its links."""
    found = []
    while url:
        response = await caller.get(url)
        assert response.status_code == 200, response.text
        found += response.json()
        link = response.headers.get("link")
        assert link is None or response.json()
        url = NEXT.fullmatch(link)[1] if link else ""
    return found


def due(task: dict) -> str | None:
    """Return the due time; a due day ends with its last microsecond."""
    return task["due_at"] or (task["due_date"] and f"{task['due_date']}T23:59:59.999999Z")


def expected(tasks: list[dict], sort: str, *, descending: bool) -> list[int]:
    """Return the ids in order, computed without a database; tasks that are never due are last in both directions."""
    keys = {
        "created": lambda task: task["id"],
        "updated": lambda task: task["version"],
        "title": lambda task: task["title"].replace("İ", "i").lower(),
        "due_date": due,
        "priority": lambda task: ["none", "low", "medium", "high"].index(task["priority"]),
    }
    key = keys[sort]
    ordered = sorted((task for task in tasks if key(task) is not None), key=lambda task: (key(task), task["id"]))
    never = sorted((task for task in tasks if key(task) is None), key=lambda task: task["id"])
    if descending:
        ordered, never = ordered[::-1], never[::-1]
    return [task["id"] for task in ordered + never]


async def test_each_order_is_total_and_its_pages_are_the_whole_list(alice, tasks, subtests):
    for sort, order in product(SORTS, ["asc", "desc"]):
        with subtests.test(sort=sort, order=order):
            whole = (await alice.get(alice.path, params={"sort": sort, "order": order})).json()
            assert [task["id"] for task in whole] == expected(tasks, sort, descending=order == "desc")
            for limit in (1, 5, 12):
                assert await walk(alice, f"{alice.path}?sort={sort}&order={order}&limit={limit}") == whole


async def test_each_sort_has_a_natural_order(alice, tasks, subtests):
    natural = {"created": "desc", "updated": "desc", "title": "asc", "due_date": "asc", "priority": "desc"}
    assert list(natural) == SORTS
    for sort, order in natural.items():
        with subtests.test(sort=sort):
            whole = (await alice.get(alice.path, params={"sort": sort, "order": order})).json()
            assert (await alice.get(alice.path, params={"sort": sort})).json() == whole
            assert await walk(alice, f"{alice.path}?sort={sort}&limit=5") == whole
            if sort == "created":
                assert (await alice.get(alice.path)).json() == whole


async def test_filters_hold_on_every_page(alice, tasks, subtests):
    for sort in SORTS:
        with subtests.test(sort=sort):
            query = f"sort={sort}&status=pending&priority=low&priority=none&q=a&due_before=9999-12-31"
            whole = (await alice.get(f"{alice.path}?{query}")).json()
            assert {task["title"] for task in whole} == {"beta", 'a"\\\n%_'}
            assert await walk(alice, f"{alice.path}?{query}&limit=1") == whole


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", SORTS)
async def test_existing_tasks_come_once_despite_creations_and_deletions_between_pages(alice, tasks, sort, order):
    kept = {task["id"] for task in tasks}
    extra = await write(alice, TASKS)
    url, seen = f"{alice.path}?sort={sort}&order={order}&limit=3", []
    while url:
        response = await alice.get(url)
        page = response.json()
        seen += [task["id"] for task in page if task["id"] in kept]
        # Delete first the last task of the page, on which the cursor is, if allowed.
        deleted = [*(task for task in page[::-1] if task["id"] not in kept), *extra[:1]]
        created = [TASKS[0], TASKS[1], TASKS[3]] if len(seen) < 9 else []
        if deleted or created:
            await write(alice, created, deleted)
        extra = extra[1:]
        link = response.headers.get("link")
        url = NEXT.fullmatch(link)[1] if link else ""
    assert sorted(seen) == sorted(kept)
    assert seen == expected(tasks, sort, descending=order == "desc")


class TestLink:
    @pytest.mark.parametrize("user_id", ["alice", "auth0|a b", "a/b%2F", 'a>b<"c', "ü😀"])
    async def test_the_link_is_relative_and_works_for_any_user_id(self, caller, user_id):
        ada = caller(user_id)
        made = [await ada.make(title) for title in "abc"]
        response = await ada.get(ada.path, params={"limit": 2})
        url = NEXT.fullmatch(response.headers["link"])[1]
        assert unquote(urlsplit(url).path) == unquote(ada.path)
        assert (await ada.get(url)).json() == made[:1]

    async def test_the_link_keeps_all_parameters_except_the_cursor(self, alice, tasks):
        query = "q=a+%25%26&tag=%C3%89%2B&tag=b&count=true&limit=1&status=all"
        for task in tasks[:3]:
            await alice.patch(
                f"{alice.path}/{task['id']}", json={"title": f"a %& {task['id']}", "tags": ["é+", "B"]}
            )  # fmt: skip
        first = await alice.get(f"{alice.path}?{query}")
        second = await alice.get(NEXT.fullmatch(first.headers["link"])[1])
        assert first.headers["x-total-count"] == second.headers["x-total-count"] == "3"
        for response in (first, second):
            asked = parse_qs(urlsplit(NEXT.fullmatch(response.headers["link"])[1]).query)
            assert len(asked.pop("cursor")) == 1
            assert asked == parse_qs(query)

    async def test_the_link_keeps_me_in_the_path(self, alice, tasks):
        response = await alice.get("/api/me/tasks?limit=5")
        assert response.headers["link"].startswith("</api/me/tasks?")
        assert len(await walk(alice, "/api/me/tasks?limit=5")) == 12

    async def test_only_pages_before_the_last_have_a_link(self, alice, tasks):
        for limit, more in [(11, True), (12, False), (1000, False)]:
            response = await alice.get(alice.path, params={"limit": limit})
            assert ("link" in response.headers) == more, limit

    async def test_the_page_size_may_change_between_pages(self, alice, tasks):
        whole = (await alice.get(alice.path, params={"sort": "title"})).json()
        response = await alice.get(f"{alice.path}?sort=title&limit=2")
        url = NEXT.fullmatch(response.headers["link"])[1]
        assert (await alice.get(url.replace("limit=2", "limit=1000&count=true"))).json() == whole[2:]

    async def test_a_raw_bracket_in_the_path_cannot_end_the_url_early(self, caller, exchange, sign):
        ada = caller("a>b")
        made = [await ada.make(title) for title in "abc"]
        head = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {sign('a>b')}\r\n\r\n"
        (answer,) = await exchange(f"GET /api/a>b/tasks?limit=2 HTTP/1.1\r\n{head}".encode())
        assert answer.status_code == 200
        assert (await ada.get(NEXT.fullmatch(answer.headers["link"])[1])).json() == made[:1]


class TestCursor:
    @pytest.fixture
    async def cursor(self, alice):
        """A cursor between two tasks for each sort, by its name."""
        for title in "ab":
            await alice.make(title)
        found = {}
        for sort in SORTS:
            response = await alice.get(alice.path, params={"sort": sort, "limit": 1})
            found[sort] = parse_qs(urlsplit(NEXT.fullmatch(response.headers["link"])[1]).query)["cursor"][0]
        return found

    async def test_a_cursor_with_other_filters_or_another_order_is_refused(
        self, alice, cursor, refusal, statements, subtests
    ):
        for query in (
            "sort=updated", "order=asc", "sort=title", "status=pending", "status=completed", "priority=low", "tag=home",
            "q=a", "overdue=true", "due_before=2026-12-24", "due_after=2026-12-24",
        ):  # fmt: skip
            with subtests.test(query=query):
                with statements() as seen:
                    response = await alice.get(f"{alice.path}?limit=1&{query}&cursor={cursor['created']}")
                body = refusal(response, 422, "validation_error", "cursor")
                assert "another list" in body["detail"]
                assert seen == []

    async def test_a_cursor_works_with_an_equivalent_query(self, alice, cursor, subtests):
        for query in ("status=all", "order=desc", "sort=created", "overdue=false", "q=+", "count=true"):
            with subtests.test(query=query):
                response = await alice.get(f"{alice.path}?limit=1&{query}&cursor={cursor['created']}")
                assert [task["title"] for task in response.json()] == ["a"]

    async def test_a_cursor_without_a_limit_is_refused(self, alice, cursor, refusal):
        response = await alice.get(f"{alice.path}?cursor={cursor['created']}")
        body = refusal(response, 422, "validation_error", "cursor")
        assert "limit" in body["detail"]

    async def test_two_cursors_are_refused(self, alice, cursor, refusal):
        response = await alice.get(f"{alice.path}?limit=1&cursor={cursor['created']}&cursor={cursor['created']}")
        refusal(response, 422, "validation_error", "cursor")

    async def test_a_cursor_of_another_user_shows_only_own_tasks(self, alice, bob, cursor):
        own = await bob.make("Bob's")
        response = await bob.get(f"{bob.path}?limit=1&sort=title&cursor={cursor['title']}")
        assert response.json() in ([], [own])

    async def test_a_garbage_cursor_is_refused(self, alice, refusal, statements, subtests):
        garbage = ["abc", "=", "====", "AAAA", "%00", "😀", "null", "../../etc", "k8Q", "3////w", "a b", "x" * 3000]
        for text in garbage:
            with subtests.test(text=text):
                with statements() as seen:
                    response = await alice.get(f"{alice.path}?limit=1&cursor={quote(text, safe='%')}")
                refusal(response, 422, "validation_error", "cursor")
                assert seen == []

    async def test_a_truncated_cursor_is_refused(self, alice, cursor, refusal):
        for length in range(1, len(cursor["title"]), 3):
            response = await alice.get(f"{alice.path}?limit=1&sort=title&cursor={cursor['title'][:length]}")
            refusal(response, 422, "validation_error", "cursor")

    IMPOSSIBLE = [  # noqa: RUF012 - never changed
            *(("created", key) for key in ("-1", "x", "", "9223372036854775808", "1e3")),
            *(("updated", key) for key in ("-1", "x", "", "9223372036854775808", "9" * 19, "9" * 40, "1 OR 1", "٣")),
            *(("title", key) for key in ("", "\0", "a\0", "t" * 601)),
            *(("priority", key) for key in ("-1", "4", "high", "", "32768")),
            *(
                ("due_date", key)
                for key in (
                    "", "now", "Infinity", "2026-12-24", "2026-02-30 00:00:00+00", "9999-99-99 99:99:99+00",
                    "0000-01-01 00:00:00+00", "2026-12-24 24:00:01+00", "2026-12-24 00:00:60+00",
                    "2026-12-24 00:00:00.0000001+00", "2026-12-24 00:00:00+01", "10000-01-01 00:00:00+00",
                )
            ),
        ]  # fmt: skip

    async def test_a_forged_cursor_with_an_impossible_position_is_refused(
        self, alice, cursor, refusal, statements, subtests
    ):
        for position in self.IMPOSSIBLE:
            with subtests.test(position=position):
                with statements() as seen:
                    response = await alice.get(self.forge(alice, cursor, *position, 1))
                refusal(response, 422, "validation_error", "cursor")
                assert seen == []

    async def test_a_forged_cursor_with_an_impossible_id_is_refused(self, alice, cursor, refusal, subtests):
        for identifier in (-1, 2**63, 2**64 - 1, "1", None, 1.0, [1], {"a": 1}, True):
            with subtests.test(identifier=identifier):
                response = await alice.get(self.forge(alice, cursor, "updated", "5", identifier))
                refusal(response, 422, "validation_error", "cursor")

    async def test_a_plausible_forged_cursor_shows_only_own_tasks(self, alice, bob, cursor, subtests):
        await bob.make("Bob's")
        for sort, key in (
            ("created", "0"), ("updated", "9223372036854775807"), ("title", "\U0010ffff'; --"), ("title", "T" * 600),
            ("priority", "0"), ("due_date", "infinity"), ("due_date", "-infinity"),
            ("due_date", "0001-01-01 00:00:00+00"), ("due_date", "9999-12-31 23:59:59.999999+00"),
        ):  # fmt: skip
            for identifier in (0, 2**63 - 1):
                with subtests.test(sort=sort, key=key, identifier=identifier):
                    response = await alice.get(self.forge(alice, cursor, sort, key, identifier))
                    assert response.status_code == 200
                    assert all(task["user_id"] == "alice" for task in response.json())

    @staticmethod
    def forge(caller, cursor: dict, sort: str, key: object, identifier: object) -> str:
        """Return the URL of a page that begins at a forged position."""
        packed = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor[sort] + "=="))
        forged = base64.urlsafe_b64encode(msgspec.msgpack.encode([packed[0], key, identifier])).decode().rstrip("=")
        return f"{caller.path}?limit=1&sort={sort}&cursor={forged}"
