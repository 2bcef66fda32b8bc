"""Manual order: positions, `after` and `before`, for tasks among their siblings and for lists."""

from __future__ import annotations

import asyncio
import json
import random
import re
from itertools import product

import pytest

from service.errors import InvalidInputError
from service.lists.models import List
from service.lists.outcomes import Quotas
from service.tasks.batch.writes import Operation, Written
from service.tasks.models import Task
from service.web.positions import LONGEST, SMALLEST, is_position
from service.web.text import with_keys
from tests.tasks.keys import between, key_of
from tests.tasks.model import apart
from tests.tasks.test_positions import NOT_DIGITS

NEXT = re.compile(r'<([^<>"\s]+)>; rel="next"')
UNKNOWN = "019aceef-9a40-7c1e-8f3a-000000000000"
ANCHOR = "names no task in the same list and with the same parent; send the id or uid of a sibling, or null"
INVALID = ["", "a", "a00", "00", "b0", SMALLEST, "a0" + LONGEST * "z", " a0", "a-", 7, True, ["a0"], *NOT_DIGITS]
QUOTAS = Quotas(10_000, 10_000)


async def make(caller, titles: str, **fields: object) -> dict[str, dict]:
    """Create tasks with these letters as titles, so that they are in this order."""
    operations = [{"op": "create", "task": {"title": title, **fields}} for title in reversed(titles)]
    response = await caller.post(f"{caller.path}/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    made = {result["task"]["title"]: result["task"] for result in response.json()["results"]}
    assert "".join(await order(caller, fields.get("parent_id", "none"), fields.get("list_id", "inbox"))) == titles
    return made


async def read(caller, query: str = "") -> list[dict]:
    response = await caller.get(f"{caller.path}?sort=position{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def order(caller, parent: object = "none", of: object = "inbox") -> list[str]:
    """Return the titles of siblings in their manual order."""
    return [task["title"] for task in await read(caller, f"&parent={parent}&list={of}")]


async def move(caller, task: dict, **fields: object) -> dict:
    response = await caller.patch(f"{caller.path}/{task['id']}", json=fields)
    assert response.status_code == 200, response.text
    return response.json()


def versions(tasks: list[dict]) -> dict[str, int]:
    return {task["title"]: task["version"] for task in tasks}


class TestPlaces:
    @pytest.mark.parametrize("name", ["id", "uid"])
    async def test_a_task_moves_directly_after_or_before_a_sibling(self, alice, name):
        made = await make(alice, "abcd")
        for moved, side, anchor, expected in [
            ("a", "after", "c", "bcad"), ("d", "before", "c", "bdca"), ("b", "after", "a", "dcab"),
            ("b", "before", "d", "bdca"), ("c", "after", "b", "bcda"), ("c", "after", "b", "bcda"),
            ("c", "before", "d", "bcda"),
        ]:  # fmt: skip
            await move(alice, made[moved], **{side: made[anchor][name]})
            assert "".join(await order(alice)) == expected, (moved, side, anchor)

    async def test_null_means_the_end_and_the_start(self, alice):
        made = await make(alice, "abc")
        await move(alice, made["a"], after=None)
        assert await order(alice) == ["b", "c", "a"]
        await move(alice, made["c"], before=None)
        assert await order(alice) == ["c", "b", "a"]
        await alice.make("d", after=None)
        await alice.make("e", before=None)
        assert await order(alice) == ["e", "c", "b", "a", "d"]

    @pytest.mark.parametrize("side", ["after", "before"])
    async def test_the_only_task_can_be_placed(self, alice, side):
        first = await alice.make("a", **{side: None})
        assert first["position"] == "a0"
        assert await move(alice, first, **{side: None}) == first
        await alice.make("b")
        assert await order(alice) == ["b", "a"]

    async def test_a_new_task_can_be_placed_among_its_siblings(self, alice):
        made = await make(alice, "ab")
        await alice.make("c", after=made["a"]["id"])
        await alice.make("d", before=made["a"]["uid"].upper())
        assert await order(alice) == ["d", "a", "c", "b"]

    async def test_a_batch_places_tasks_that_it_creates_by_their_uid(self, alice):
        uids = [f"019aceef-9a40-7c1e-8f3a-{number:012}" for number in range(4)]
        sent = [{"op": "create", "task": {"title": "0", "uid": uids[0]}}]
        sent += [
            {"op": "create", "task": {"title": str(number), "uid": uids[number], "after": uids[number - 1]}}
            for number in range(1, 4)
        ]
        sent += [{"op": "update", "id": uids[0], "changes": {"before": uids[3]}}]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent})
        assert response.status_code == 200, response.text
        assert await order(alice) == ["1", "2", "0", "3"]

    async def test_new_tasks_come_first_also_after_moves_to_the_start(self, alice):
        made = await make(alice, "abcde")
        expected, chance = list("abcde"), random.Random(5)
        for number in range(30):
            moved = chance.choice(expected[1:])
            await move(alice, made[moved], before=None)
            expected.remove(moved)
            expected.insert(0, moved)
            if number % 3 == 0:
                made[str(number)] = await alice.make(str(number))
                expected.insert(0, str(number))
            assert await order(alice) == expected

    async def test_a_frontend_can_compute_the_position_itself(self, alice):
        made = await make(alice, "abc")
        for title, position in (("a", "aB"), ("b", "aa"), ("c", "Zz")):
            changed = await move(alice, made[title], position=position)
            assert changed["position"] == position
        assert await order(alice) == ["c", "a", "b"], "by byte, upper case first"
        moved = await move(alice, made["c"], after=made["a"]["id"])
        assert moved["position"] == "aC", "as the package computes it"
        first = await alice.make("d", position="Zz")
        assert first["position"] == "Zz"
        assert await move(alice, first, position=None) == first

    async def test_a_repeated_move_changes_nothing(self, alice, connection):
        made = await make(alice, "abcd")
        for moved, sent in (
            ("a", {"before": None}), ("d", {"after": None}), ("b", {"after": made["a"]["id"]}),
            ("b", {"before": made["c"]["uid"]}),
        ):  # fmt: skip
            assert await move(alice, made[moved], **sent) == made[moved], "it is there already"
        moved = await move(alice, made["a"], after=made["c"]["id"])
        assert await move(alice, made["a"], after=made["c"]["id"]) == moved
        assert await move(alice, made["a"], before=made["d"]["id"]) == moved
        assert await connection.fetchval("SELECT revision FROM users") == moved["version"] == 5

    async def test_only_the_moved_task_is_written(self, alice):
        made = await make(alice, "abcd")
        before = versions(await read(alice))
        moved = await move(alice, made["a"], after=made["c"]["id"])
        assert versions(await read(alice)) == {**before, "a": 5}
        assert moved["version"] == 5
        assert moved == {**made["a"], **{name: moved[name] for name in ("position", "version", "updated_at")}}


class TestSiblings:
    async def test_siblings_are_the_tasks_with_the_same_list_and_parent(self, alice, pool):
        of = (await List.objects.for_user("alice", using=pool).create({"name": "L"})).id
        made = await make(alice, "ab")
        listed = await make(alice, "cd", list_id=of)
        parent = made["a"]["id"]
        children = await make(alice, "ef", parent_id=parent)
        moved = await move(alice, made["b"], list_id=of, after=listed["c"]["id"])
        assert (moved["list_id"], await order(alice, "none", of)) == (of, ["c", "b", "d"])
        moved = await move(alice, made["b"], list_id=None, parent_id=parent, before=children["f"]["uid"])
        assert (moved["parent_id"], moved["list_id"], await order(alice, parent)) == (parent, None, ["e", "b", "f"])
        moved = await move(alice, made["b"], parent_id=None, before=parent)
        assert (moved["parent_id"], await order(alice)) == (None, ["b", "a"])
        made["g"] = await alice.make("g", list_id=of, after=listed["d"]["id"])
        assert await order(alice, "none", of) == ["c", "d", "g"]
        for sent in ({"list_id": of}, {"parent_id": parent}):
            moved = await move(alice, made["b"], **sent)
            assert moved["position"], "it keeps its own, and a place among the new siblings"

    async def test_an_anchor_that_is_no_sibling_is_refused_and_nothing_is_written(  # noqa: PLR0913, PLR0917 - two users, and the rows
        self, alice, bob, pool, connection, refusal, subtests
    ):
        lists = List.objects.for_user("alice", using=pool)
        of = (await lists.create({"name": "L"})).id
        foreign = [*(await make(bob, "123456789")).values()][-1]
        task, parent, listed, gone = [await alice.make(title) for title in "tplg"]
        child = await alice.make("c", parent_id=parent["id"])
        await move(alice, listed, list_id=of)
        await alice.delete(f"{alice.path}/{gone['id']}")
        before = await connection.fetchval("SELECT revision FROM users WHERE id = 'alice'")
        unknown = {"id": 2**63 - 1, "uid": UNKNOWN}
        for side, name in product(["after", "before"], ["id", "uid"]):
            with subtests.test(side=side, name=name):
                for anchor in (task, child, listed, gone, foreign, unknown):
                    response = await alice.patch(f"{alice.path}/{task['id']}", json={side: anchor[name]})
                    assert refusal(response, 422, "validation_error", side)["errors"][0]["message"] == ANCHOR
                for anchor, fields in ((parent, {"parent_id": parent["id"]}), (task, {"list_id": of})):
                    response = await alice.post(alice.path, json={"title": "New", side: anchor[name], **fields})
                    assert refusal(response, 422, "validation_error", side)["errors"][0]["message"] == ANCHOR
                operation = {"op": "update", "id": task["id"], "changes": {side: child[name]}}
                response = await alice.post(f"{alice.path}/batch", json={"operations": [operation], "atomic": False})
                (error,) = response.json()["results"][0]["error"]["errors"]
                assert error == {"field": side, "message": ANCHOR}
                assert await connection.fetchval("SELECT revision FROM users WHERE id = 'alice'") == before

    @pytest.mark.parametrize("side", ["after", "before"])
    async def test_a_malformed_anchor_is_refused(self, alice, refusal, side):
        task = await alice.make()
        for anchor in ("", "x", "none", "inbox", 0, -1, 1.5, 2**63, True, [1], {"id": 1}):
            response = await alice.patch(f"{alice.path}/{task['id']}", json={side: anchor})
            problem = refusal(response, 422, "validation_error", side)
            assert "the id or uid of the sibling" in problem["errors"][0]["message"]


class TestValues:
    async def test_an_invalid_key_is_refused(self, alice, refusal):
        task = await alice.make()
        for position in INVALID:
            for response in (
                await alice.patch(f"{alice.path}/{task['id']}", json={"position": position}),
                await alice.post(alice.path, json={"title": "New", "position": position}),
            ):
                problem = refusal(response, 422, "validation_error", "position")
                assert "an order key as in the npm package fractional-indexing" in problem["errors"][0]["message"]
        assert await read(alice) == [task]

    async def test_several_places_are_refused(self, alice, refusal, subtests):
        task = await alice.make()
        for sent, field, other in [
            ({"after": None, "before": None}, "before", "after"), ({"position": "a0", "after": 1}, "after", "position"),
            ({"position": "a0", "before": None}, "before", "position"),
            ({"position": None, "after": 1}, "after", "position"),
            ({"position": "a0", "after": 1, "before": 2}, "after", "position"),
        ]:  # fmt: skip
            with subtests.test(sent=sent):
                for response in (
                    await alice.patch(f"{alice.path}/{task['id']}", json=sent),
                    await alice.post(alice.path, json={"title": "New", **sent}),
                ):
                    problem = refusal(response, 422, "validation_error", field)
                    message = f"cannot be sent together with {other}; send one of them"
                    assert problem["errors"][0]["message"] == message
                assert await read(alice) == [task]

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_whole_task_sent_back_changes_nothing(self, alice, pool, connection, method):
        of = (await List.objects.for_user("alice", using=pool).create({"name": "L"})).id
        made = [await alice.make("a"), await alice.make("b", position="aV"), await alice.make("c", list_id=of)]
        made += [await alice.make("d", parent_id=made[2]["id"]), await alice.make("e", list_id=of, after=None)]
        made += [await alice.make("f", parent_id=made[2]["id"], position="a0", completed=True)]
        before = await connection.fetchval("SELECT revision FROM users")
        for task in made:
            response = await alice.request(method, f"{alice.path}/{task['uid']}", json=task)
            assert (response.status_code, response.json()) == (200, task)
        sent = [
            {"op": "update", "id": task["id"], "changes": {name: task[name] for name in task if name != "id"}}
            for task in made
        ]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent})
        assert [result["task"] for result in response.json()["results"]] == made
        assert await connection.fetchval("SELECT revision FROM users") == before


class TestRekeying:
    async def test_ties_are_legal_and_break_by_id(self, alice):
        made = await make(alice, "abc")
        for title in "abc":
            await move(alice, made[title], position="a0")
        assert await order(alice) == ["c", "b", "a"]
        assert [task["title"] for task in await read(alice, "&order=desc")] == ["a", "b", "c"]

    @pytest.mark.parametrize(("side", "anchor"), [("after", "c"), ("before", "b")])
    async def test_a_task_between_tied_neighbours_changes_the_ties_on_the_shorter_side(self, alice, pool, side, anchor):
        of = (await List.objects.for_user("alice", using=pool).create({"name": "L"})).id
        made = await make(alice, "xabc")
        others = [await alice.make("child", parent_id=made["a"]["id"]), await alice.make("listed", list_id=of)]
        for title in "abc":
            await move(alice, made[title], position="a0")
        moved = await move(alice, made["x"], **{side: made[anchor]["id"]})
        tasks = await read(alice, "&parent=none&list=inbox")
        assert [(task["title"], task["position"]) for task in tasks] == [
            ("c", "Zz"), ("x", "ZzV"), ("b", "a0"), ("a", "a0"),
        ]  # fmt: skip
        assert versions(tasks) == {"a": 8, "b": 9, "c": 11, "x": 12}
        assert moved["version"] == 12
        changed = (await alice.get(f"{alice.path}/changes?since=0")).json()
        assert [task["version"] for task in changed["changes"]] == [6, 7, 8, 9, 11, 12]
        for task in others:
            assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task

    async def test_a_new_task_between_tied_neighbours_gets_the_last_revision(self, alice):
        made = await make(alice, "ab")
        for title in "ab":
            await move(alice, made[title], position="a0")
        task = await alice.make("x", before=made["a"]["id"])
        assert task["id"] == task["version"] == 6
        assert versions(await read(alice)) == {"b": 4, "x": 6, "a": 5}
        await alice.make("y")
        assert await order(alice) == ["y", "b", "x", "a"]

    async def test_keys_come_apart_as_in_the_model_and_stay_in_order(self, connection):
        chance, texts = random.Random(3), ["Zz", "a0", "a0V", "a1", "a0" + "0" * 97 + "1", "a0" + "0" * 97 + "2"]
        for _ in range(300):
            keys = sorted(chance.choice(texts) for _ in range(chance.randint(1, 12)))
            gap = chance.randint(0, len(keys))
            fresh = await connection.fetchval("SELECT positions_apart($1, $2)", keys, gap)
            assert fresh == apart(keys, gap), (keys, gap)
            assert sorted(fresh) == fresh
            ends = [None, *fresh, None]
            assert len(between(ends[gap], ends[gap + 1])) <= LONGEST

    async def test_the_ties_of_a_long_series_come_apart_by_one_key(self, connection):
        keys = ["a0"] * 5_000
        assert await connection.fetchval("SELECT positions_apart($1, 4999)", keys) == [*keys[:-1], "a1"]
        assert await connection.fetchval("SELECT positions_apart($1, 1)", [*keys, "a1"]) == ["Zz", *keys[1:], "a1"]
        middle = await connection.fetchval("SELECT positions_apart($1, 2500)", [*keys, "a1"])
        assert middle == [key_of(number) for number in range(5_001)], "there is no room for so many ties"

    @pytest.mark.parametrize("side", ["after", "before"])
    async def test_a_key_beyond_100_characters_leads_to_new_keys(self, alice, side):
        made = await make(alice, "abc")
        low, high = "a0" + "0" * 97 + "1", "a0" + "0" * 97 + "2"
        await move(alice, made["a"], position=low)
        await move(alice, made["b"], position=high)
        await move(alice, made["c"], **{side: made["a" if side == "after" else "b"]["id"]})
        tasks = await read(alice)
        assert [(task["title"], task["position"]) for task in tasks] == [("a", "a0"), ("c", "a0V"), ("b", "a1")]

    async def test_a_refused_batch_takes_new_keys_back(self, alice):
        made = await make(alice, "abc")
        for title in "ab":
            await move(alice, made[title], position="a0")
        before = await read(alice)
        sent = [
            {"op": "update", "id": made["c"]["id"], "changes": {"after": made["b"]["id"]}},
            {"op": "delete", "id": 2**62},
        ]
        response = await alice.post(f"{alice.path}/batch", json={"operations": sent})
        assert response.status_code == 422
        assert await read(alice) == before

    @pytest.mark.parametrize(("side", "anchor"), [("after", "a"), ("before", "b")])
    async def test_hundreds_of_drags_between_the_same_neighbours_never_fail(self, alice, pool, side, anchor):
        made = await make(alice, "axyb")
        tail = "z" * 90 if side == "after" else "0" * 90 + "1"  # with a long key, the tasks soon need new keys
        await move(alice, made[anchor], position=made[anchor]["position"] + tail)
        tasks, longest = Task.objects.for_user("alice", using=pool), 0
        drags = [
            Operation("update", made["xy"[drag % 2]]["id"], {"placed": side, "place": str(made[anchor]["id"])})
            for drag in range(100)
        ]
        for _ in range(2):
            done = await tasks.perform(drags, atomic=True, quotas=QUOTAS)
            documents = [json.loads(one.document) for one in done if isinstance(one, Written)]
            assert len(documents) == 100
            assert all(is_position(document["position"]) for document in documents)
            longest = max(longest, *(len(document["position"]) for document in documents))
            assert await order(alice) == ["a", *("xy" if side == "before" else "yx"), "b"]
        assert longest == LONGEST, "so the tasks also got new keys"

    async def test_two_people_who_drag_at_once_lose_no_row_and_never_fail(self, alice, pool, connection):
        titles = "abcdefgh"
        made = await make(alice, titles)
        ids = {task["id"] for task in made.values()}
        for title in "abcd":  # so that the drags also need new keys
            await move(alice, made[title], position="a0")

        async def drag(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(12):
                moved, anchor = chance.sample([*made.values()], 2)
                await move(alice, moved, **{chance.choice(["after", "before"]): chance.choice([anchor["id"], None])})

        await asyncio.gather(*map(drag, range(4)))
        tasks = await read(alice)
        assert {task["id"] for task in tasks} == ids
        assert len({task["version"] for task in tasks}) == len(titles)
        assert all(is_position(task["position"]) for task in tasks)
        assert max(task["version"] for task in tasks) == await connection.fetchval("SELECT revision FROM users")


class TestPages:
    @pytest.mark.parametrize("direction", ["asc", "desc"])
    async def test_pages_by_position_have_each_task_once(self, alice, direction):
        made = await make(alice, "abcdefg")
        for title, position in zip("abcde", ["a0", "a0", "a0", "Zz", "a0V"], strict=True):
            await move(alice, made[title], position=position)
        whole = await read(alice, f"&order={direction}")
        assert [task["title"] for task in whole] == list("fgdcbae"[:: 1 if direction == "asc" else -1])
        for limit in (1, 3, 7):
            found, url = [], f"{alice.path}?sort=position&order={direction}&limit={limit}&count=true"
            while url:
                response = await alice.get(url)
                assert response.status_code == 200, response.text
                assert response.headers["x-total-count"] == "7"
                assert len(response.json()) <= limit
                found += response.json()
                link = response.headers.get("link")
                url = NEXT.fullmatch(link)[1] if link else ""
            assert found == whole

    async def test_a_move_between_two_pages_skips_no_other_task(self, alice):
        made = await make(alice, "abcdef")
        first = await alice.get(f"{alice.path}?sort=position&limit=3")
        await move(alice, made["a"], after=None)
        await move(alice, made["b"], before=None)
        second = await alice.get(NEXT.fullmatch(first.headers["link"])[1])
        titles = [task["title"] for task in first.json() + second.json()]
        assert titles == ["a", "b", "c", "d", "e", "f"]


class TestLists:
    """Lists have the same order; their functions are called as the routes call them."""

    @pytest.fixture
    def lists(self, pool, empty):
        return List.objects.for_user("alice", using=pool)

    @staticmethod
    async def read(lists) -> list[dict]:
        return json.loads((await lists.live().in_order()).document)

    @classmethod
    async def order(cls, lists) -> str:
        return "".join(one["name"] for one in await cls.read(lists))

    @classmethod
    async def make(cls, lists, names: str) -> dict[str, dict]:
        made = {name: json.loads((await lists.create({"name": name})).document) for name in reversed(names)}
        assert await cls.order(lists) == names, "new lists come first"
        return made

    async def test_a_list_moves_to_each_place(self, lists):
        made = await self.make(lists, "abc")
        for moved, side, anchor, expected in [
            ("a", "after", str(made["b"]["id"]), "bac"), ("c", "before", made["b"]["uid"], "cba"),
            ("c", "after", None, "bac"), ("a", "before", None, "abc"), ("a", "before", made["b"]["uid"], "abc"),
        ]:  # fmt: skip
            await lists.update(made[moved]["id"], {"placed": side, "place": anchor})
            assert await self.order(lists) == expected
        await lists.create({"name": "d", "placed": "after", "place": made["a"]["uid"]})
        await lists.create({"name": "e"})
        assert await self.order(lists) == "eadbc"

    async def test_a_list_between_tied_neighbours_changes_the_ties_on_the_shorter_side(self, lists):
        made = await self.make(lists, "xabc")
        for name in "abc":
            await lists.update(made[name]["uid"], {"placed": "at", "place": "a0"})
        await lists.update(made["x"]["id"], {"placed": "after", "place": str(made["c"]["id"])})
        found = [(one["name"], one["position"], one["version"]) for one in await self.read(lists)]
        assert found == [("c", "Zz", 8), ("x", "ZzV", 9), ("b", "a0", 6), ("a", "a0", 5)]

    async def test_a_list_sent_back_as_it_is_changes_nothing(self, lists):
        for made in (await self.make(lists, "ab")).values():
            same = {name: made[name] for name in ("name", "color", "archived")}
            done = await lists.update(made["id"], {**same, "placed": "at", "place": made["position"]})
            assert json.loads(done.document) == made

    @pytest.mark.parametrize("side", ["after", "before"])
    async def test_an_anchor_that_is_no_other_list_is_refused(self, lists, pool, side):
        made = await self.make(lists, "ab")
        await lists.delete(made["b"]["id"], tasks=None, trash_quota=10)
        foreign = await List.objects.for_user("bob", using=pool).create({"name": "B"})
        before = await self.read(lists)
        for anchor in (str(made["a"]["id"]), made["a"]["uid"], made["b"]["uid"], foreign.uid, "9" * 18, UNKNOWN):
            with pytest.raises(InvalidInputError) as raised:
                await lists.update(made["a"]["id"], {"placed": side, "place": anchor})
            (error,) = raised.value.errors
            assert error.field == side
            assert error.message == "names no list of yours; send the id or uid of another list, or null"
        assert await self.read(lists) == before

    async def test_hundreds_of_drags_of_lists_never_fail(self, lists, pool):
        made = await self.make(lists, "axyb")
        tasks, longest = Task.objects.for_user("alice", using=pool), 0
        for _ in range(7):
            drags = [
                Operation("update_list", made["xy"[drag % 2]]["id"], {"placed": "after", "place": str(made["a"]["id"])})
                for drag in range(100)
            ]
            done = await tasks.perform(drags, atomic=True, quotas=QUOTAS)
            longest = max(longest, *(len(json.loads(one.document)["position"]) for one in done))
            assert await self.order(lists) == "ayxb"
        assert longest == LONGEST, "so the lists also got new keys"

    async def test_lists_and_tasks_have_positions_of_their_own(self, lists, pool):
        await self.make(lists, "ab")
        tasks = Task.objects.for_user("alice", using=pool)
        first = await tasks.create(with_keys({"title": "t", "placed": "after", "place": None}), quota=10)
        assert json.loads(first.document)["position"] == "a0"
        assert json.loads((await lists.create({"name": "c", "placed": "at", "place": "a0"})).document)["version"] == 4
