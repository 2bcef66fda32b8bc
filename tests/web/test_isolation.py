"""A user reaches only their own data, through every route and method of the router and every statement.

A new route is covered as soon as it exists: its parameters must be known here, and its statements must follow the same
rule as all others.
"""

from __future__ import annotations

import re

import pytest
from sanic.constants import HTTP_METHODS

from service.database import migrations
from service.database.functions import FUNCTIONS
from service.sync.changes import POSITIONS
from tests.ownership import OF_NO_OWNER, assert_names_one_user

PARAMETERS = {"user_id": "alice", "task_id": "1", "list_id": "1", "name": "none"}
PUBLIC = {"/docs", "/docs/{name}", "/health", "/health/live", "/health/ready", "/metrics", "/openapi.json"}
BODY = {"title": "Mine now", "completed": True}
READS_A_BODY = {"POST", "PUT", "PATCH", "DELETE"}
SAME_ID = {"X-Request-ID": "the-same"}

# The streams' poll of revisions reads several users, and belongs to no request.
NO_ONES = {POSITIONS, "BEGIN;", "COMMIT;"}
PARTS = {  # of other functions
    *OF_NO_OWNER, "lock_owner", "find_answer", "keep_answer", "find_task", "find_list", "seat_task", "seat_list",
    "place_task", "place_list", "rekey_tasks", "rekey_lists", "carry_family", "task_id_of", "list_id_of",
    "import_lists", "seat_new_task", "find_successor", "write_successor", "arrange_task",
}  # fmt: skip
# Functions that no request of this test calls: those of the upkeep and of idempotency keys.
NOT_ASKED_FOR = {"purge_trash", "forget_answers", "perform_once", "import_once"}
PROBES = re.compile(r"FROM aerich\b")


@pytest.fixture
def routes(app, server):
    """Return every (method, path template) of the running router, and the public paths."""
    known = {(method, route.ctx.template) for route in app.router.routes for method in route.methods}
    public = {route.ctx.template for route in app.router.routes if route.ctx.public}
    return known, public


@pytest.fixture
def private(routes):
    """Return every (method, path) that needs a token, as alice would call it."""
    known, public = routes
    found = sorted((method, template.format(**PARAMETERS)) for method, template in known if template not in public)
    assert len(found) >= 7 * 4  # each path responds to each method, if only with 405
    return found


def test_only_these_routes_are_public(routes):
    assert routes[1] == PUBLIC


def test_every_route_responds_to_every_method(routes):
    known, _ = routes
    for template in {template for _, template in known}:
        assert {method for method, other in known if other == template} == set(map(str, HTTP_METHODS))


def test_every_private_route_names_its_owner_in_the_path(routes):
    known, public = routes
    assert all(f"{template}/".startswith("/api/{user_id}/") for _, template in known if template not in public)


async def test_without_a_token_every_route_is_closed_and_sends_no_statement(http, private, statements, refusal):
    with statements() as seen:
        for method, path in private:
            response = await http.request(method, path, json=BODY)
            assert response.status_code == 401, (method, path)
            if method != "HEAD":
                refusal(response, 401, "authentication_required")
    assert seen == []


async def test_with_another_users_token_every_route_is_closed_and_sends_no_statement(
    alice, bob, private, statements, refusal
):  # fmt: skip
    task = await alice.make()
    with statements() as seen:
        for method, path in private:
            for url in (path, path.replace("/1", f"/{task['id']}"), f"{path}?status=all"):
                response = await bob.request(method, url, json=BODY)
                assert response.status_code == 403, (method, url)
                if method != "HEAD":
                    refusal(response, 403, "forbidden")
    assert seen == []
    assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task


async def test_an_owner_must_be_named_exactly(alice, refusal, statements, subtests):
    for owner in [
        "Alice",
        "ALICE",
        "alice%20",
        "%20alice",
        "alice%00",
        "al%C4%B1ce",
        "alic%65%0A",
        "%6De%20",
        "ME",
        "*",
        "%25",
        "alice%2F",
        ".",
    ]:
        with subtests.test(owner=owner):
            with statements() as seen:
                response = await alice.get(f"/api/{owner}/tasks")
            assert response.status_code in {403, 404}
            refusal(response, response.status_code, "forbidden" if response.status_code == 403 else "not_found")
            assert seen == []


async def test_another_encoding_of_the_same_owner_is_the_same(alice):
    assert (await alice.get("/api/%61lice/tasks")).status_code == 200
    assert (await alice.get("/api/m%65/tasks")).status_code == 200


async def test_a_task_of_another_user_gets_the_same_response_as_one_that_never_existed(alice, bob, routes):
    foreign, missing = (await bob.make(completed=True))["id"], (await bob.make())["id"] + 1_000_000
    templates = {(method, template) for method, template in routes[0] if "{task_id}" in template}
    assert len(templates) >= 14
    for method, template in sorted(templates):
        bodies = (BODY, {"completed": True}, {"completed": False}, {}, {"title": ""}, {"nonsense": 1})
        for body in bodies if method in READS_A_BODY else bodies[:1]:
            answers = []
            for task_id in (foreign, missing):
                path = template.format(user_id="alice", task_id=task_id)
                response = await alice.request(method, path, json=body, headers=SAME_ID)
                answers.append((response.status_code, response.headers.raw, response.content))
            assert answers[0] == answers[1], (method, template, body)
            assert answers[0][0] in {404, 405, 422} or method == "OPTIONS"
    assert (await bob.get(f"{bob.path}/{foreign}")).json()["version"] == 1


async def test_a_list_of_another_user_gets_the_same_response_as_one_that_never_existed(alice, bob, routes):
    foreign = (await bob.post("/api/me/lists", json={"name": "Bob's"})).json()
    missing = {"id": foreign["id"] + 1_000_000, "uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04"}
    templates = {(method, template) for method, template in routes[0] if "{list_id}" in template}
    assert len(templates) >= 14
    for method, template in sorted(templates):
        for name in ("id", "uid"):
            bodies = ({"name": "Mine now"}, {}, {"name": ""}, {"nonsense": 1})
            for body in bodies if method in READS_A_BODY else bodies[:1]:
                answers = []
                for one in (foreign, missing):
                    path = template.format(user_id="alice", list_id=one[name])
                    response = await alice.request(method, path, json=body, headers=SAME_ID)
                    answers.append((response.status_code, response.headers.raw, response.content))
                assert answers[0] == answers[1], (method, template, name, body)
                assert answers[0][0] in {404, 405, 422} or method == "OPTIONS"
    assert (await bob.get(f"/api/me/lists/{foreign['id']}")).json() == foreign


async def test_a_deleted_task_of_another_user_gets_the_same_response_as_one_that_never_existed(alice, bob):
    deleted = await bob.make()
    await bob.delete(f"{bob.path}/{deleted['id']}")
    for caller in (alice, bob):
        answers = [await caller.get(f"{caller.path}/{task_id}", headers=SAME_ID) for task_id in (deleted["id"], 2**62)]
        assert answers[0].status_code == 404
        assert (answers[0].headers.raw, answers[0].content) == (answers[1].headers.raw, answers[1].content)


async def test_the_trash_of_another_user_can_be_neither_listed_nor_restored_nor_destroyed(alice, bob):
    deleted = await bob.make()
    await bob.delete(f"{bob.path}/{deleted['id']}")
    for method, path in (("POST", "{}/restore"), ("DELETE", "{}")):
        answers = [
            await alice.request(method, f"/api/me/trash/{path.format(task_id)}", headers=SAME_ID)
            for task_id in (deleted["id"], 2**62)
        ]
        assert answers[0].status_code == 404
        assert (answers[0].headers.raw, answers[0].content) == (answers[1].headers.raw, answers[1].content)
    assert (await alice.get("/api/me/trash")).json() == []
    assert (await alice.delete("/api/me/trash")).json() == {"deleted": 0}
    assert (await alice.request("DELETE", "/api/me", json={"confirm": "alice"})).status_code == 204
    assert [task["id"] for task in (await bob.get("/api/me/trash")).json()] == [deleted["id"]]


async def test_the_writes_of_one_user_are_invisible_to_others(alice, bob):
    await bob.make("Bob's", tags=["home"], due_date="2020-01-01", priority="high")
    await alice.make("Alice's")
    for query in ("", "limit=10&count=true", "q=bob", "tag=home", "overdue=true", "priority=high", "sort=title"):
        response = await alice.get(f"{alice.path}?{query}")
        assert all(task["user_id"] == "alice" for task in response.json())
    assert response.headers.get("x-total-count") is None
    assert (await alice.get(f"{alice.path}?count=true")).headers["x-total-count"] == "1"
    assert (await alice.get(f"{alice.path}/summary")).json() == {
        "total": 1, "pending": 1, "completed": 0, "overdue": 0, "due_today": 0,
    }  # fmt: skip
    assert (await alice.delete(f"{alice.path}?status=all")).json() == {"deleted": 1}
    assert [task["title"] for task in (await bob.get(bob.path)).json()] == ["Bob's"]


ASSIGNED = {
    "id": 999, "uid": "019aceef-9a40-7c1e-8f3a-5b1d6c2e9f04", "user_id": "bob", "created_at": "1999-01-01T00:00:00Z",
    "updated_at": "1999-01-01T00:00:00Z", "completed_at": "1999-01-01T00:00:00Z", "version": 999,
}  # fmt: skip


async def test_fields_that_the_service_assigns_cannot_be_set(alice, bob):
    # A client may choose the uid of a new task.
    created = await alice.make(**{field: value for field, value in ASSIGNED.items() if field != "uid"})
    assert created.items() & ASSIGNED.items() == set()
    for method, path, body in (
        ("PUT", "", {"title": "B"}),
        ("PATCH", "", {"title": "C"}),
        ("PATCH", "/complete", {"completed": True}),
        ("POST", "/complete", {"completed": False}),
    ):
        response = await alice.request(method, f"{alice.path}/{created['id']}{path}", json={**body, **ASSIGNED})
        assert response.status_code == 200
        assert response.json().items() & ASSIGNED.items() == set()
        assert response.json()["user_id"] == "alice"
        assert response.json()["id"] == created["id"]
    assert (await bob.get(bob.path)).json() == []


async def test_a_new_task_is_live_whatever_deleted_at_says(alice):
    made = await alice.make(deleted_at="2026-01-01T00:00:00Z", type="list")
    assert (await alice.get(alice.path)).json() == [made]
    assert (await alice.get("/api/alice/trash")).json() == []


@pytest.mark.parametrize("field", ["revision", "task_count", "written_at", "email", "user"])
async def test_a_column_that_is_not_a_field_is_unknown(alice, refusal, field):
    refusal(await alice.post(alice.path, json={"title": "A", field: 1}), 422, "validation_error", field)


async def test_the_owner_comes_from_the_token_and_never_from_the_path(alice, statements):
    with statements() as seen:
        created = await alice.post("/api/me/tasks", json={"title": "Mine"})
        await alice.get("/api/me/tasks")
        await alice.get("/api/%61lice/tasks")
    assert created.json()["user_id"] == "alice"
    assert {arguments[0] for _, arguments in seen} == {"alice"}
    assert len(seen) == 3


async def test_every_statement_names_the_owner(alice, bob, routes, statements):
    await bob.make("Bob's")
    with statements() as seen:
        task = await alice.make("Alice's", tags=["home"], due_date="2020-01-01")
        for query in (
            "", "status=completed", "status=pending", "priority=low&priority=high", "tag=home&tag=x", "q=a",
            "overdue=true", "due_before=2030-01-01&due_after=2000-01-01", "count=true", "count=true&limit=1&q=a",
        ):  # fmt: skip
            await alice.get(f"{alice.path}?{query}")
        for sort in ("created", "updated", "title", "due_date", "priority", "position"):
            for order in ("asc", "desc"):
                await alice.make()
                page = await alice.get(f"{alice.path}?limit=1&sort={sort}&order={order}")
                await alice.get(page.links["next"]["url"])
        for field, value in {
            "title": "B", "description": "b", "completed": True, "priority": "low", "tags": ["b"],
            "due_date": "2026-12-24", "due_at": "2026-12-24T18:00:00Z",
        }.items():  # fmt: skip
            await alice.patch(f"{alice.path}/{task['id']}", json={field: value})
        await alice.put(f"{alice.path}/{task['id']}", json={"title": "C", "description": None})
        await alice.patch(f"{alice.path}/{task['id']}", json={})
        for template in sorted({template for _, template in routes[0] if template not in PUBLIC}):
            path = template.format(user_id="alice", task_id=task["id"], list_id=task["id"])
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
                await ask(alice, method, f"{path}?status=all" if method == "DELETE" else path)
                await ask(alice, method, path, json={"completed": True})
        for query in ("", "count=true", "limit=1&count=true"):
            deleted = [(await alice.make())["id"] for _ in range(2)]
            await alice.delete(f"{alice.path}?status=all")
            page = await alice.get(f"/api/alice/trash?{query}")
        await alice.get(page.links["next"]["url"])
        await put_into_a_list(alice)
        operations = [
            {"op": "create", "task": {"title": "B"}},
            {"op": "restore", "id": deleted[0]},
            {"op": "update", "id": deleted[0], "changes": {"tags": ["b"]}},
            {"op": "delete", "id": deleted[0]},
        ]
        assert (await alice.post("/api/alice/tasks/batch", json={"operations": operations})).status_code == 200
        await move_in_and_out(alice)
        await alice.post(f"/api/alice/trash/{deleted[0]}/restore")
        await alice.delete(f"/api/alice/trash/{deleted[1]}")
        await alice.request("DELETE", "/api/alice", json={"confirm": "alice"})
    assert len(seen) > 50
    for statement, arguments in (one for one in seen if one[0] not in NO_ONES):
        assert arguments[:1] == ("alice",), statement
        assert_names_one_user(statement, arguments)
    kinds = "\n".join(statement for statement, _ in seen)
    assert 'count(*) "total"' in kinds
    called = set(re.findall(r"SELECT \* FROM (\w+)\(", kinds))
    assert set(FUNCTIONS) - called == {*PARTS, *NOT_ASKED_FOR}


async def ask(caller, method: str, path: str, **options) -> None:
    """Send a request and read its response; of an endless response, the first lines."""
    async with caller.stream(method, path, **options) as response:
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                return


async def put_into_a_list(caller) -> None:
    """Create a list, read the tasks in it, move it, and delete, restore and destroy it; by id and by uid."""
    for name in ("id", "uid"):
        made = (await caller.post("/api/me/lists", json={"name": "A"})).json()
        task = await caller.make("In a list", list_id=made[name])
        for query in (f"list={made[name]}", f"list={made[name]}&list=inbox", "list=inbox", f"parent={task[name]}"):
            assert (await caller.get(f"{caller.path}?{query}")).status_code == 200
        path = f"/api/me/lists/{made[name]}"
        assert (await caller.get(path)).json() == made
        assert (await caller.get("/api/me/lists?archived=false")).json() == [made]
        assert (await caller.patch(path, json={"name": "B", "after": None})).status_code == 200
        assert (await caller.delete(f"{path}?tasks=trash")).status_code == 204
        assert len((await caller.get("/api/me/trash/lists")).json()) == 1
        assert (await caller.post(f"/api/me/trash/lists/{made[name]}/restore")).status_code == 200
        assert (await caller.delete(f"{path}?tasks=inbox")).status_code == 204
        assert (await caller.delete(f"/api/me/trash/lists/{made[name]}")).status_code == 204


async def move_in_and_out(caller) -> None:
    """Export in every format, and import in every way that sends another statement."""
    for form in ("json", "csv", "ical"):
        assert (await caller.get(f"/api/me/export?format={form}")).status_code == 200
    for query in ("", "?on_conflict=skip"):
        response = await caller.post(f"/api/me/import{query}", json={"tasks": [{"title": "A"}]})
        assert (response.status_code, response.text) == (200, '{"imported":1,"skipped":0}')


async def test_public_routes_query_only_the_state_of_the_database(app, http, statements):
    app.ctx.readiness.forget()
    file = next(iter(app.ctx.documentation.files))
    with statements() as seen:
        for path in sorted(PUBLIC):
            assert (await http.get(path.format(**PARAMETERS | {"name": file}))).status_code == 200
    assert all(PROBES.search(statement) for statement, _ in seen)
    assert {argument for _, arguments in seen for argument in arguments} <= {"service", migrations.APP}
