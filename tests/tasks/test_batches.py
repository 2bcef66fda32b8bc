"""POST /api/{user_id}/tasks/batch: many writes in one request, all or none of them, or each by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
import unicodedata
from collections import Counter

import pytest

from service.errors import InvalidInputError
from service.tasks.batch.schemas import read as operations_of

SEEDLING = "\U0001f331"
LONGEST = {
    "title": SEEDLING * 200,
    "description": SEEDLING * 1000,
    "tags": [f"{n:02}{SEEDLING * 48}" for n in range(20)],
}
ASSIGNED = {"id", "uid", "version", "position", "created_at", "updated_at", "completed_at"}


def create(title: str = "New", **fields: object) -> dict:
    return {"op": "create", "task": {"title": title, **fields}}


def update(task: dict, **changes: object) -> dict:
    return {"op": "update", "id": task["id"], "changes": changes}


def complete(task: dict, *, completed: object = True) -> dict:
    return {"op": "complete", "id": task["id"], "completed": completed}


def delete(task: dict) -> dict:
    return {"op": "delete", "id": task["id"]}


def restore(task: dict) -> dict:
    return {"op": "restore", "id": task["id"]}


async def send(caller, *operations: object, headers: dict | None = None, **options: object):
    body = {"operations": operations, **options}
    return await caller.post(f"{caller.path}/batch", json=body, headers=headers)


async def perform(caller, *operations: object, **options: object) -> list[dict]:
    """Return the results of a batch, which must be 200."""
    response = await send(caller, *operations, **options)
    assert response.status_code == 200, response.text
    assert list(response.json()) == ["results"]
    return response.json()["results"]


def statuses(results: list[dict]) -> list[int]:
    return [result["status"] for result in results]


async def read(caller, task: dict) -> dict:
    return (await caller.get(f"{caller.path}/{task['id']}")).json()


async def make(caller, count: int) -> list[dict]:
    return [result["task"] for result in await perform(caller, *(create(f"Task {n}") for n in range(count)))]


@pytest.fixture
async def leave_room(connection, settings):
    """Return a coroutine that fills alice's quota except for some tasks."""

    async def fill(room: int) -> None:
        await connection.execute("UPDATE users SET task_count = $1 WHERE id = 'alice'", settings.task_quota - room)

    return fill


class TestOperations:
    async def test_each_operation_returns_what_its_own_route_returns(self, alice, private):
        changed, completed, deleted, gone = await make(alice, 4)
        await alice.delete(f"{alice.path}/{gone['id']}")
        response = await send(
            alice,
            create("Buy seeds", tags=["garden"], due_date="2026-12-24", version=99),
            update(changed, description="More", due_at="2026-12-24T18:00:00+01:00"),
            complete(completed),
            delete(deleted),
            restore(gone),
        )
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert not {"etag", "location"} & set(response.headers)
        private(response)
        results = response.json()["results"]
        assert statuses(results) == [201, 200, 200, 204, 200]
        assert results[3] == {"status": 204}
        for result in (*results[:3], results[4]):
            assert set(result) == {"status", "task"}
            assert await read(alice, result["task"]) == result["task"]
        made, updated, done, _, back = (result.get("task") for result in results)
        assert (made["title"], made["tags"], made["due_date"]) == ("Buy seeds", ["garden"], "2026-12-24")
        assert (updated["description"], updated["due_at"]) == ("More", "2026-12-24T17:00:00.000000Z")
        assert done["completed"] is True
        assert done["completed_at"] == done["updated_at"]
        assert {**back, "version": 0, "updated_at": 0} == {**gone, "version": 0, "updated_at": 0}
        assert (await alice.get(f"{alice.path}/{deleted['id']}")).status_code == 404

    async def test_a_task_created_in_a_batch_equals_one_created_with_a_post(self, alice):
        drafts = [
            {"title": "  Trim me "}, {"title": "A", "description": "  "}, {"title": "B", "tags": ["x", " X ", "y"]},
            {"title": "C", "priority": "high", "completed": True}, {"title": "D", "due_at": "0001-01-01T00:00:00Z"},
            {"title": "E", "due_date": "9999-12-31", "priority": None, "tags": None}, LONGEST, {"title": "\"'\\ $1 %s"},
        ]  # fmt: skip
        results = await perform(alice, *({"op": "create", "task": draft} for draft in drafts))
        for draft, result in zip(drafts, results, strict=True):
            posted = await alice.make(**draft)
            same = {name: result["task"][name] for name in posted if name not in ASSIGNED}
            assert same.items() <= posted.items()
            assert (result["task"]["completed_at"] is None) == (posted["completed_at"] is None)

    async def test_an_update_keeps_omitted_fields_and_clears_null_fields(self, alice):
        everything = {"title": "A", "description": "d", "priority": "high", "tags": ["x"], "due_date": "2026-12-24"}
        tasks = [await alice.make(**everything, completed=True) for _ in range(3)]
        results = await perform(
            alice,
            update(tasks[0], title="B"),
            update(tasks[1], description=None, priority=None, tags=None, due_date=None, completed=False),
            update(tasks[2], due_at="2026-12-24T18:00:00Z"),
        )
        after = [result["task"] for result in results]
        assert {**tasks[0], "title": "B", "version": 4, "updated_at": after[0]["updated_at"]} == after[0]
        assert [after[1][name] for name in ("description", "priority", "tags", "due_date", "completed_at")] == [
            None, "none", [], None, None,
        ]  # fmt: skip
        assert (after[2]["due_date"], after[2]["due_at"]) == (None, "2026-12-24T18:00:00.000000Z")

    async def test_an_operation_that_changes_nothing_takes_no_revision(self, alice):
        task, other = await make(alice, 2)
        results = await perform(alice, update(task, title="Task 0"), update(other), complete(task, completed=False))
        assert [result["task"] for result in results] == [task, other, task]
        assert (await perform(alice, complete(task)))[0]["task"]["version"] == 3

    async def test_a_second_completion_keeps_the_first_completed_at(self, alice):
        task = await alice.make()
        first, second = await perform(alice, complete(task), complete(task))
        assert second == first

    async def test_an_operation_sees_the_writes_of_earlier_operations(self, alice):
        task = await alice.make("First")
        results = await perform(
            alice,
            update(task, title="Second"), update(task, description="third"), delete(task), restore(task),
            complete(task), update(task, title="Fourth"),
        )  # fmt: skip
        assert statuses(results) == [200, 200, 204, 200, 200, 200]
        assert [result["task"]["version"] for result in results if "task" in result] == [2, 3, 5, 6, 7]
        last = results[-1]["task"]
        assert (last["title"], last["description"], last["completed"]) == ("Fourth", "third", True)
        assert await read(alice, task) == last

    async def test_versions_ascend_in_the_order_of_operations_and_ids_in_that_of_creation(self, alice):
        tasks = await make(alice, 6)
        shuffled = random.Random(7).sample(tasks, 6)
        operations = [operation for task in shuffled for operation in (create(), update(task, title="New title"))]
        operations += [complete(task) for task in shuffled]
        results = await perform(alice, *operations)
        assert [result["task"]["version"] for result in results] == [*range(7, 7 + len(operations))]
        made = [result["task"]["id"] for result in results if result["status"] == 201]
        assert made == sorted(made)

    async def test_a_batch_cannot_name_a_task_that_it_creates(self, alice):
        next_id = (await alice.make())["id"] + 1
        results = await perform(alice, create(), update({"id": next_id}, title="B"), atomic=False)
        assert statuses(results) == [201, 404]
        assert results[0]["task"]["id"] == next_id


class TestAllOrNothing:
    @pytest.mark.parametrize(
        ("failing", "error"),
        [
            (lambda _, __: update({"id": 2**62}, title="B"), (404, "task_not_found")),
            (lambda _, deleted: complete(deleted), (404, "task_not_found")),
            (lambda _, deleted: delete(deleted), (404, "task_not_found")),
            (lambda live, _: restore(live), (404, "task_not_found")),
            (lambda live, _: {**update(live, title="B"), "if_version": 9}, (412, "version_mismatch")),
            (lambda live, _: {**delete(live), "if_version": 9}, (412, "version_mismatch")),
        ],
        ids=["update", "complete", "delete", "restore", "update of another version", "delete of another version"],
    )
    async def test_a_failing_operation_rolls_back_the_batch_and_is_named(
        self, alice, refusal, connection, failing, error
    ):
        live, deleted = await make(alice, 2)
        await alice.delete(f"{alice.path}/{deleted['id']}")
        before = await connection.fetch("SELECT * FROM users"), (await alice.get(alice.path)).json()
        response = await send(alice, create(), complete(live), failing(live, deleted), create())
        body = refusal(response, 422, "batch_failed")
        assert body["index"] == 2
        assert body["detail"].startswith("No operation took effect, because operation 2 (counted from 0) failed: ")
        assert body["detail"].endswith(body["error"]["detail"])
        assert (body["error"]["status"], body["error"]["code"]) == error
        assert body["error"]["request_id"] == body["request_id"]
        if error[0] == 412:
            assert body["error"]["current"]["completed"] is True  # the state during the batch
        assert before == (await connection.fetch("SELECT * FROM users"), (await alice.get(alice.path)).json())

    async def test_the_first_failing_operation_is_named_even_if_a_later_one_fails_too(self, alice, refusal):
        task = await alice.make()
        missing = {"id": 2**62}
        response = await send(alice, update(task, title="B"), delete(missing), complete(missing), update(missing))
        assert refusal(response, 422, "batch_failed")["index"] == 1

    async def test_a_failed_batch_creates_no_row_for_a_new_user(self, alice, refusal, connection):
        refusal(await send(alice, create(), delete({"id": 1})), 422, "batch_failed")
        assert await connection.fetchval("SELECT count(*) FROM users") == 0

    async def test_all_faults_of_all_operations_are_named_before_any_statement(self, alice, refusal, statements):
        with statements() as seen:
            response = await send(
                alice,
                create(),
                create("  ", priority="urgent"),
                {"op": "update", "id": 0, "changes": {"titel": "B", "due_date": "2026-12-24", "due_at": "x"}},
                {"op": "update", "id": 1, "changes": {"due_date": "2026-12-24", "due_at": "2026-12-24T18:00:00Z"}},
                {"op": "complete", "id": 1},
                {"op": "delete", "id": "1", "flavour": "red"},
                {"op": "create", "task": ["title"]},
                {"op": "create"},
                {"op": "destroy", "id": 1},
                {"id": 1},
                {"op": ["create"]},
                "create",
                {"op": "update", "id": 1, "changes": {"if_version": 2}},
                {"op": "delete", "id": 1, "if_version": 0},
            )
        refusal(
            response, 422, "validation_error",
            "operations[1].task.title", "operations[1].task.priority",
            "operations[2].id", "operations[2].changes.titel", "operations[2].changes.due_at",
            "operations[3].changes.due_at",
            "operations[4].completed",
            "operations[5].id", "operations[5].flavour",
            "operations[6].task",
            "operations[7].task",
            "operations[8].op", "operations[9].op", "operations[10].op",
            "operations[11]",
            "operations[12].changes.if_version",
            "operations[13].if_version",
        )  # fmt: skip
        assert seen == []

    async def test_no_more_than_twenty_faults_are_named(self, alice, refusal):
        fields = [f"operations[{number}].op" for number in range(20)]
        refusal(await send(alice, *({"op": "x"} for _ in range(100))), 422, "validation_error", *fields)

    @pytest.mark.steps
    @pytest.mark.parametrize("atomic", [True, False])
    @pytest.mark.parametrize("name", ["tilte{}", "{}" + "\0" * 80, "{}" + "ü" * 80])
    async def test_a_body_full_of_faults_gets_a_fast_and_short_response(self, alice, atomic, name, longest_step):
        fields = {name.format(number): number for number in range(20)}
        operations = [{"op": "create", "task": {"title": "A", **fields}} for _ in range(100)]
        body = json.dumps({"atomic": atomic, "operations": operations}).encode()
        body += b" " * (1024 * 1024 - len(body))
        response = await alice.post(f"{alice.path}/batch", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == (422 if atomic else 200)
        assert len(response.content) < 64 * 1024
        named = [error for result in response.json().get("results", ()) for error in result["error"]["errors"]]
        assert atomic or [bool(error["field"]) for error in named[19:22]] == [True, False, False]
        took = []
        for _ in range(3):
            began = time.thread_time()
            with contextlib.suppress(InvalidInputError):
                await operations_of(body)
            took.append(time.thread_time() - began)
        assert min(took) < longest_step, "others wait for all of this"

    @pytest.mark.steps
    async def test_a_text_of_a_megabyte_is_refused_at_once(self, alice, refusal, steps, longest_step, subtests):
        for operation, field in [
            (create(tags=["\u0301\u0316" * 200_000]), "task.tags"),
            (create(tags=["\u1e9b" * 300_000]), "task.tags"),
            (create(tags=["a"] * 200_000), "task.tags"),
            (create("\u0301\u0316" * 200_000), "task.title"),
            (create(description="\u0301\u0316" * 200_000), "task.description"),
            (create(priority="\u0130" * 400_000), "task.priority"),
            (create(due_date="1" * 900_000), "task.due_date"),
            (create(due_at="1" * 900_000), "task.due_at"),
            (create(completed="1" * 900_000), "task.completed"),
            (create(uid="\u0130" * 400_000), "task.uid"),
            (create(list_id="1" * 900_000), "task.list_id"),
            (create(position="a" * 900_000), "task.position"),
            (create(repeat={"rrule": " " * 900_000}), "task.repeat.rrule"),
            (create(repeat={"rrule": "FREQ=DAILY", "timezone": "\u0130" * 450_000}), "task.repeat.timezone"),
            (create(**{"\u0130" * 450_000: 1}), "task." + "\u0130" * 40 + "…"),
            ({"op": "delete", "id": "1" * 900_000}, "id"),
            ({"op": "delete", "id": 1, "if_version": "1" * 900_000}, "if_version"),
            ({"op": "\u0130" * 450_000}, "op"),
            ({"op": "create_list", "list": {"name": "\u0301\u0316" * 200_000}}, "list.name"),
            ({"op": "create_list", "list": {"name": "A", "color": "\u0130" * 450_000}}, "list.color"),
            ({"op": "delete_list", "id": 1, "tasks": "\u0130" * 450_000}, "tasks"),
        ]:
            with subtests.test(field=field):
                content = json.dumps({"operations": [operation]}, ensure_ascii=False).encode()
                response = await alice.post(
                    f"{alice.path}/batch", content=content, headers={"Content-Type": "application/json"}
                )
                longest, _ = steps.take()
                refusal(response, 422, "validation_error", f"operations[0].{field}")
                assert longest < longest_step

    @pytest.mark.steps
    async def test_long_texts_of_combining_marks_are_folded_in_short_steps(self, alice):
        marks = "\u0301\u0316"
        task = {"title": "a" + marks * 99, "description": "a" + marks * 499, "tags": ["a" + marks * 24]}
        sent = {"operations": [{"op": "create", "task": task}] * 100}
        content = json.dumps(sent, ensure_ascii=False).encode()
        response = await alice.post(
            f"{alice.path}/batch", content=content, headers={"Content-Type": "application/json"}
        )
        assert statuses(response.json()["results"]) == [201] * 100
        (found, *_) = (await alice.get(alice.path, params={"q": unicodedata.normalize("NFD", task["title"])})).json()
        assert found["title"] == task["title"]

    async def test_beyond_the_quota_nothing_is_created(self, alice, refusal, leave_room, settings):
        task = await alice.make()
        await leave_room(2)
        body = refusal(await send(alice, create("A"), complete(task), create("B"), create("C")), 422, "batch_failed")
        assert (body["index"], body["error"]["code"], body["error"]["status"]) == (3, "task_quota_exceeded", 409)
        assert f"{settings.task_quota:,}" in body["detail"]
        assert [one["title"] for one in (await alice.get(alice.path)).json()] == ["A task"]

    async def test_an_earlier_deletion_makes_room_for_a_creation(self, alice, leave_room):
        first, second = await make(alice, 2)
        await leave_room(0)
        results = await perform(alice, delete(first), create(), delete(second), restore(first))
        assert statuses(results) == [204, 201, 204, 200]


class TestEachByItself:
    async def test_failing_operations_have_an_error_and_the_others_are_performed(self, alice, leave_room):
        task, other, gone = await make(alice, 3)
        await alice.delete(f"{alice.path}/{gone['id']}")
        await leave_room(2)
        operations = [
            create("A"), create(""), create("B"), create("C"),
            update(task, title="Changed"), {**update(other, title="x"), "if_version": 1}, update({"id": 2**62}),
            {**complete(other), "if_version": 2}, {"op": "archive"}, delete(gone), restore(gone), None,
            delete(other), restore(gone), restore(other),
        ]  # fmt: skip
        results = await perform(alice, *operations, atomic=False)
        assert statuses(results) == [201, 422, 201, 409, 200, 412, 404, 200, 422, 404, 409, 422, 204, 200, 409]
        for result in results:
            beside = {204: set()}.get(result["status"], {"task"}) if result["status"] < 400 else {"error"}
            assert set(result) == {"status"} | beside
        codes = [result["error"]["code"] for result in results if "error" in result]
        assert Counter(codes) == {
            "validation_error": 3, "task_quota_exceeded": 3, "task_not_found": 2, "version_mismatch": 1,
        }  # fmt: skip
        assert results[5]["error"]["current"] == other
        assert [fault["field"] for fault in results[1]["error"]["errors"]] == ["task.title"]
        assert [fault["field"] for fault in results[8]["error"]["errors"]] == ["op"]
        titles = [one["title"] for one in (await alice.get(f"{alice.path}?sort=title")).json()]
        assert titles == ["A", "B", "Changed", "Task 2"]

    async def test_failing_operations_leave_no_gap_in_the_versions(self, alice):
        first, second = await make(alice, 2)
        missing = {"id": 2**62}
        operations = [
            complete(missing),
            complete(second),
            {**complete(first), "if_version": 9},
            update(first, title="B"),
        ]
        results = await perform(alice, *operations, create(), atomic=False)
        assert [result["task"]["version"] for result in results if "task" in result] == [3, 4, 5]

    async def test_a_batch_is_200_even_if_all_operations_fail(self, alice):
        assert statuses(await perform(alice, delete({"id": 1}), {"op": "x"}, atomic=False)) == [404, 422]
        assert (await alice.get(f"{alice.path}/changes?since=0")).json()["next"] == "0"


class TestLikeOneByOne:
    """A batch has the same effect as its operations sent one after the other."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_a_batch_has_the_same_result_as_its_operations_sent_one_by_one(self, alice, bob, seed):
        chance = random.Random(seed)
        ids = [[task["id"] for task in await make(caller, 5)] for caller in (alice, bob)]
        chosen = [(chance.randrange(5), *self.choose(chance)) for _ in range(60)]
        batch = [{**rest, **({} if op == "create" else {"id": ids[0][which]}), "op": op} for which, op, rest in chosen]
        results = await perform(alice, *batch, atomic=False)
        for (which, op, rest), result in zip(chosen, results, strict=True):
            single = await self.alone(bob, ids[1][which], op, rest)
            assert single.status_code == result["status"], (op, rest)
            expected = single.json() if single.content else None
            got = result.get("task") or result.get("error")
            assert self.alike(got) == self.alike(expected)
        lists = [(await caller.get(f"{caller.path}?sort=updated")).json() for caller in (alice, bob)]
        assert [*map(self.alike, lists[0])] == [*map(self.alike, lists[1])]

    @staticmethod
    def choose(chance: random.Random) -> tuple[str, dict]:
        expected = {"if_version": chance.randrange(1, 40)} if chance.random() < 0.2 else {}
        op = chance.choice(["create", "update", "update", "complete", "delete", "restore", "restore"])
        if op == "create":
            return op, {"task": {"title": chance.choice(["A", "B", ""])}}
        if op == "update":
            fields = {"title": "C", "tags": ["x"], "due_date": "2026-12-24", "due_at": None, "priority": "high"}
            return op, {"changes": dict(chance.sample(sorted(fields.items()), chance.randrange(4))), **expected}
        return op, {"completed": chance.random() < 0.5, **expected} if op == "complete" else {}

    @staticmethod
    async def alone(caller, task_id: int, op: str, rest: dict):
        path = f"{caller.path}/{task_id}"
        if op == "create":
            return await caller.post(caller.path, json=rest["task"])
        if op == "update":
            changes = {**rest["changes"], **{name: rest[name] for name in rest if name == "if_version"}}
            return await caller.patch(path, json=changes)
        if op == "complete":
            return await caller.post(f"{path}/complete", json=rest)
        return await (caller.delete(path) if op == "delete" else caller.post(f"/api/me/trash/{task_id}/restore"))

    @staticmethod
    def alike(answer: dict | None) -> dict | None:
        """The response without the parts that differ between two users and two times."""
        if answer is None or "code" in answer:
            current = TestLikeOneByOne.alike(answer["current"]) if answer and "current" in answer else None
            return answer and {"code": answer["code"], "current": current}
        moments = {name: answer[name] is not None for name in ("created_at", "updated_at", "completed_at")}
        return {**answer, **moments, "id": 0, "uid": "", "user_id": ""}


class TestLimits:
    @pytest.mark.parametrize("count", [1, 100])
    async def test_one_to_a_hundred_operations_are_accepted(self, alice, count):
        assert statuses(await perform(alice, *[create()] * count)) == [201] * count

    async def test_zero_and_too_many_operations_are_refused(self, alice, refusal, statements, subtests):
        for count, atomic in itertools.product([0, 101, 5000], [True, False]):
            with subtests.test(count=count, atomic=atomic):
                with statements() as seen:
                    response = await send(alice, *[create()] * count, atomic=atomic)
                body = refusal(response, 422, "validation_error", "operations")
                assert body["errors"][0]["message"] == "must be a list of 1 to 100 operations"
                assert seen == []

    async def test_a_body_that_is_not_a_batch_is_refused(self, alice, refusal, subtests):
        for body, fields in [
            ({}, ["operations"]), ([], ["body"]), ({"operations": {}}, ["operations"]),
            ({"operations": [create()], "atomic": "no"}, ["atomic"]),
            ({"operations": [create()], "atomic": None, "dry_run": True}, ["atomic", "dry_run"]),
        ]:  # fmt: skip
            with subtests.test(body=body):
                refusal(await alice.post(f"{alice.path}/batch", json=body), 422, "validation_error", *fields)

    async def test_a_batch_that_is_not_json_is_400(self, alice, refusal, subtests):
        for body in [b"", b"{", b'{"operations": [NaN]}', b"\xff", b'{"operations": ["\\ud800"]}']:
            with subtests.test(body=body):
                headers = {"Content-Type": "application/json"}
                response = await alice.post(f"{alice.path}/batch", content=body, headers=headers)
                refusal(response, 400, "malformed_json")

    async def test_a_batch_of_another_media_type_is_415(self, alice, refusal):
        response = await alice.post(f"{alice.path}/batch", content=b"{}", headers={"Content-Type": "text/plain"})
        refusal(response, 415, "unsupported_media_type")

    async def test_a_batch_with_if_match_is_refused(self, alice, refusal):
        refusal(await send(alice, create(), headers={"If-Match": '"1"'}), 422, "validation_error", "If-Match")

    async def test_a_hundred_of_the_longest_tasks_fit_into_a_batch(self, alice):
        operations = [{"op": "create", "task": LONGEST}] * 100
        body = json.dumps({"operations": operations}, ensure_ascii=False).encode()
        assert 880_000 < len(body) < 2**20
        headers = {"Content-Type": "application/json"}
        response = await alice.post(f"{alice.path}/batch", content=body, headers=headers)
        assert statuses(response.json()["results"]) == [201] * 100

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_batch_of_more_than_a_mebibyte_is_413(self, alice, refusal, chunked):
        async def pieces():
            for _ in range(33):
                yield b" " * 2**15

        content = pieces() if chunked else b" " * (2**20 + 1)
        headers = {"Content-Type": "application/json"}
        body = refusal(
            await alice.post(f"{alice.path}/batch", content=content, headers=headers), 413, "payload_too_large"
        )
        assert "a batch: 1 MiB" in body["detail"]

    async def test_a_long_body_is_not_read_before_the_token_is_verified(self, exchange, refusal):
        (answer,) = await exchange(
            b"POST /api/alice/tasks/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b" " * 100
        )
        refusal(answer, 401, "authentication_required")


class TestTogether:
    async def test_batches_on_the_same_tasks_wait_for_each_other_and_none_fails(self, alice):
        tasks = await make(alice, 8)
        orders = [random.Random(number).sample(tasks, 8) for number in range(25)]
        answers = await asyncio.gather(
            *(
                send(alice, *(update(task, title=f"By {number}") for task in order), create(f"By {number}"))
                for number, order in enumerate(orders)
            )
        )
        assert Counter(answer.status_code for answer in answers) == {200: 25}
        versions = [[result["task"]["version"] for result in answer.json()["results"]] for answer in answers]
        assert sorted(itertools.chain(*versions)) == [*range(9, 9 + 25 * 9)]
        assert all(batch == [*range(batch[0], batch[0] + 9)] for batch in versions)
        last = max(answers, key=lambda answer: answer.json()["results"][-1]["task"]["version"]).json()["results"]
        assert {(await read(alice, task))["title"] for task in tasks} == {last[-1]["task"]["title"]}

    async def test_batches_and_all_other_writers_wait_for_each_other_and_none_fails(self, alice, connection):
        tasks = await make(alice, 6)
        calls = []
        for number in range(15):
            order = random.Random(number).sample(tasks, 6)
            calls.append(send(alice, *(complete(task, completed=number % 2 == 0) for task in order), atomic=False))
            calls.append(alice.post(f"{alice.path}/{order[0]['id']}/complete"))
            calls.append(alice.patch(f"{alice.path}/{order[1]['id']}", json={"title": f"By {number}"}))
            calls.append(send(alice, delete(order[2]), restore(order[2]), create(), atomic=False))
        calls.append(alice.delete(f"{alice.path}?status=completed"))
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} <= {200, 404}
        inner = {result["status"] for answer in answers for result in answer.json().get("results", ())}
        assert inner <= {200, 201, 204, 404}
        user = await connection.fetchrow("SELECT task_count, revision FROM users WHERE id = 'alice'")
        assert user["task_count"] == len((await alice.get(alice.path)).json())
        assert user["revision"] == await connection.fetchval("SELECT max(version) FROM tasks")

    @pytest.mark.one_database(reason="locks")
    async def test_the_first_batch_of_a_user_sees_all_of_an_earlier_write_or_nothing(
        self, alice, connection, eventually
    ):
        async def is_blocked() -> bool:
            await connection.execute("SELECT pg_stat_clear_snapshot()")  # the transaction keeps one snapshot otherwise
            return await connection.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%perform_batch%'"
            )

        first = {"op": "update", "id": 1, "changes": {"description": "Changed"}}
        async with connection.transaction():
            await connection.execute(
                "SELECT create_task('alice', NULL, NULL, 10, gen_random_uuid(), 'First', 'FIRST', NULL, NULL, false,"
                " 0::smallint, '{}', '{}', NULL, NULL, false, NULL)"
            )
            waiting = asyncio.create_task(send(alice, first, create(), first, atomic=False))
            await eventually(is_blocked)
        assert statuses((await waiting).json()["results"]) == [200, 201, 200]

    async def test_a_batch_of_a_new_user_that_creates_nothing_writes_nothing(self, alice, connection):
        uid = "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"
        operations = [{"op": name, "id": one} for name in ("delete", "delete_list", "restore") for one in (1, uid)]
        assert statuses((await send(alice, *operations, atomic=False)).json()["results"]) == [404] * 6
        assert await connection.fetchval("SELECT count(*) FROM users") == 0

    async def test_of_many_batches_with_the_same_expected_version_one_succeeds(self, alice):
        task = await alice.make()
        operations = [create("Once"), {**update(task, title="Mine"), "if_version": 1}]
        answers = await asyncio.gather(*(send(alice, *operations) for _ in range(20)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 422: 19}
        assert len((await alice.get(alice.path)).json()) == 2

    async def test_concurrent_batches_never_exceed_the_quota(self, alice, leave_room, connection):
        await alice.make()
        await leave_room(25)
        answers = await asyncio.gather(*(send(alice, *[create()] * 10, atomic=False) for _ in range(5)))
        created = sum(statuses(answer.json()["results"]).count(201) for answer in answers)
        assert created == 25
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 26


class TestWhoSees:
    async def test_the_change_feed_has_all_writes_of_a_batch_in_order(self, alice):
        first, second = await make(alice, 2)
        before = (await alice.get(f"{alice.path}/changes")).json()["next"]
        operations = [create("A"), delete(first), update(second, title="B"), create("C"), complete(second)]
        results = await perform(alice, *operations)
        feed = (await alice.get(f"{alice.path}/changes?since={before}")).json()
        tasks = {result["task"]["id"]: result["task"] for result in results if "task" in result}
        expected = [*tasks.values(), {"id": first["id"], "uid": first["uid"], "version": 4, "deleted": True}]
        assert feed["changes"] == sorted(expected, key=lambda change: change["version"])
        assert (feed["next"], feed["has_more"]) == (before.replace("-2", "-7"), False)

    async def test_an_open_stream_gets_all_writes_of_a_batch_at_once(self, alice):
        task = await alice.make()
        lines = []
        async with alice.stream("GET", f"{alice.path}/events") as stream, asyncio.timeout(30):
            received = stream.aiter_lines()
            while not (await anext(received)).startswith("id: "):
                pass
            await perform(alice, create("A"), delete(task), create("B"))
            async for line in received:
                if line.startswith("data: "):
                    lines.append(json.loads(line.removeprefix("data: ")))
                if len(lines) == 3:
                    break
        assert [line["version"] for line in lines] == [2, 3, 4]
        assert [line.get("title") for line in lines] == ["A", None, "B"]

    async def test_a_batch_changes_the_etag_of_a_list(self, alice):
        known = (await alice.get(alice.path)).headers["etag"]
        await perform(alice, create())
        assert (await alice.get(alice.path, headers={"If-None-Match": known})).status_code == 200

    async def test_tasks_of_another_user_get_the_same_response_as_missing_ones(self, alice, bob):
        *_, foreign, trashed = await make(bob, 40)  # ids that alice does not reach
        await bob.delete(f"{bob.path}/{trashed['id']}")
        for operation in (lambda task: update(task, title="Mine"), complete, delete, restore):
            for theirs in (foreign, trashed):
                for options in ({"atomic": True}, {"atomic": False}):
                    answers = [
                        await send(alice, create(), operation(task), headers={"X-Request-ID": "same"}, **options)
                        for task in (theirs, {"id": 2**62})
                    ]
                    bodies = [
                        answer.content if options["atomic"] else answer.json()["results"][1] for answer in answers
                    ]
                    assert bodies[0] == bodies[1]
        assert (await bob.get(f"{bob.path}/{foreign['id']}")).json() == foreign
        assert [task["version"] for task in (await bob.get("/api/me/trash")).json()] == [41]

    async def test_another_user_cannot_send_a_batch(self, http, bob, statements, refusal):
        with statements() as seen:
            refusal(await http.post("/api/alice/tasks/batch", json=[]), 401, "authentication_required")
            refusal(await bob.post("/api/alice/tasks/batch", content=b"{"), 403, "forbidden")
        assert seen == []

    async def test_a_batch_is_written_for_the_user_of_the_token(self, alice):
        (result,) = await perform(alice, create(user_id="bob"))
        assert result["task"]["user_id"] == "alice"


class TestSentAgain:
    KEY = {"Idempotency-Key": "key"}  # noqa: RUF012 - never changed

    async def test_a_repeated_batch_gets_the_first_response_byte_for_byte(self, alice):
        task = await alice.make()
        first, again = [await send(alice, create(), complete(task), headers=self.KEY) for _ in range(2)]
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert len((await alice.get(alice.path)).json()) == 2

    async def test_a_repeated_batch_replays_failures_that_would_succeed_now(self, alice):
        operations = [create(), delete({"id": 2**62}), {"op": "x"}]
        first, again = [await send(alice, *operations, atomic=False, headers=self.KEY) for _ in range(2)]
        assert statuses(first.json()["results"]) == [201, 404, 422]
        assert again.content == first.content
        assert len((await alice.get(alice.path)).json()) == 1

    async def test_a_repeated_batch_of_a_new_user_replays_its_failures(self, alice):
        first, again = [await send(alice, {"op": "x"}, atomic=False, headers=self.KEY) for _ in range(2)]
        assert statuses(first.json()["results"]) == [422]
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")

    async def test_a_batch_that_was_rolled_back_leaves_its_key_unused(self, alice, refusal):
        task = await alice.make()
        await alice.delete(f"{alice.path}/{task['id']}")
        refusal(await send(alice, create(), complete(task), headers=self.KEY), 422, "batch_failed")
        await alice.post(f"/api/me/trash/{task['id']}/restore")
        response = await send(alice, create(), complete(task), headers=self.KEY)
        assert response.status_code == 200
        assert "idempotency-replayed" not in response.headers

    async def test_the_same_key_with_another_body_is_refused(self, alice, refusal):
        await send(alice, create(), headers=self.KEY)
        refusal(await send(alice, create("Other"), headers=self.KEY), 422, "idempotency_key_reused")

    async def test_of_fifty_concurrent_batches_with_one_key_one_is_performed(self, alice):
        answers = await asyncio.gather(*(send(alice, create(), create(), headers=self.KEY) for _ in range(50)))
        assert {answer.status_code for answer in answers} <= {200, 409}
        done = [answer for answer in answers if answer.status_code == 200]
        assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
        assert len({answer.content for answer in done}) == 1
        assert len((await alice.get(alice.path)).json()) == 2


class TestStatements:
    async def test_every_batch_is_one_statement(self, alice, statements):
        tasks = await make(alice, 20)
        operations = [create()] * 20 + [update(task, title="New") for task in tasks]
        operations += [delete(task) for task in tasks] + [restore(task) for task in tasks]
        with statements() as seen:
            await perform(alice, *operations)
        assert len(seen) == 1

    async def test_batches_that_name_the_same_tasks_in_another_order_do_not_deadlock(self, alice, bob, connection):
        tasks = await make(alice, 6)
        orders = [random.Random(seed).sample(tasks, 6) for seed in range(20)]
        sent = [send(alice, *(update(task, title=f"{n}") for task in order)) for n, order in enumerate(orders)]
        answers = await asyncio.gather(*sent, *(bob.make() for _ in range(20)))
        assert {answer.status_code for answer in answers[: len(sent)]} == {200}
        titles = {task["title"] for task in (await alice.get(alice.path)).json()}
        assert len(titles) == 1, "no batch came between the operations of another"
