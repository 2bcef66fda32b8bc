"""Conditional requests: no lost updates, and no repeated transfer of unchanged data."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.etags import etag_of

BIG = 2**63 - 1
WRITES = [
    ("PUT", "", {"title": "Mine"}),
    ("PATCH", "", {"title": "Mine"}),
    ("PATCH", "", {}),
    ("PATCH", "/complete", {}),
    ("POST", "/complete", {}),
    ("PATCH", "/complete", {"completed": True}),
    ("DELETE", "", {}),
]
FITTING = ['"{0}"', '"{0}.0123abcd"', '"1", "{0}"', '"x,y" ,,"{0}",', "*"]
STALE = [
    '"1"',
    'W/"{0}"',
    '"0{0}"',
    '""',
    f'"{BIG}"',
    f'"{BIG + 1}"',
    '"x"',
    '"\u00e4"',
    '"{0}."',
    '"{0}.0123ABCD"',
    '"{0}.0123abcde"',
]


def with_each(values: list[object], *typical: object) -> Iterator[tuple[tuple[str, str, dict], object]]:
    """Yield every value with one kind of write, and the typical ones with the others.

    All kinds read the headers with the same code, but each compares the versions in a database function of its own.
    """
    for kind in WRITES:
        for value in values if kind == WRITES[1] else typical:
            yield kind, value


async def changed(caller) -> dict:
    """Create a task that another writer has changed since."""
    made = await caller.make("First")
    return (await caller.patch(f"{caller.path}/{made['id']}", json={"title": "Second"})).json()


@pytest.fixture
async def task(alice) -> dict:
    return await changed(alice)


async def write(caller, task, kind, if_match=None, **more):
    method, tail, body = kind
    headers = {} if if_match is None else {"If-Match": if_match.format(task["version"]).encode()}
    return await caller.request(method, f"{caller.path}/{task['id']}{tail}", json=body | more, headers=headers)


class TestWritingWhatOneHasSeen:
    async def test_a_write_with_a_matching_etag_succeeds(self, alice, subtests):
        for kind, if_match in with_each(FITTING, '"1", "{0}"', "*"):
            with subtests.test(kind=kind, if_match=if_match):
                response = await write(alice, await changed(alice), kind, if_match)
                assert response.status_code == (204 if kind[0] == "DELETE" else 200), response.text
                if kind[0] != "DELETE":
                    assert response.headers["etag"] == etag_of(response.json())

    async def test_a_write_with_another_etag_changes_nothing_and_shows_the_task(self, alice, task, refusal, subtests):
        for kind, if_match in with_each(STALE, '"1"', 'W/"{0}"', '"x"'):
            with subtests.test(kind=kind, if_match=if_match):
                problem = refusal(await write(alice, task, kind, if_match), 412, "version_mismatch")
                assert problem["current"] == task
                assert ("if_version" in problem["detail"]) == if_match.startswith("W/")
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task
        assert (await alice.make())["version"] == task["version"] + 1

    @pytest.mark.parametrize("kind", WRITES)
    async def test_the_version_may_be_in_the_body_and_both_must_match(self, alice, task, refusal, kind):
        version = task["version"]
        for named, if_match in ((1, None), (1, '"{0}"'), (1, "*"), (version, '"1"'), (version, 'W/"{0}"')):
            response = await write(alice, task, kind, if_match, if_version=named)
            assert refusal(response, 412, "version_mismatch")["current"] == task
        response = await write(alice, task, kind, '"{0}"', if_version=version)
        assert response.is_success, response.text

    async def test_a_missing_task_is_404_with_a_condition_too(self, alice, task, refusal, subtests):
        for kind, if_match in with_each(["*", '"1"', 'W/"1"'], "*", '"1"', 'W/"1"'):
            with subtests.test(kind=kind, if_match=if_match):
                refusal(await write(alice, task | {"id": BIG}, kind, if_match), 404, "task_not_found")

    async def test_a_task_of_another_user_is_404_with_a_condition_too(self, bob, task, refusal, subtests):
        for kind, if_match in with_each(["*", '"{0}"', '"1"', 'W/"1"'], "*", '"{0}"', '"1"', 'W/"1"'):
            with subtests.test(kind=kind, if_match=if_match):
                refusal(await write(bob, task, kind, if_match), 404, "task_not_found")

    async def test_a_condition_that_cannot_be_read_is_refused(self, alice, task, refusal, subtests):
        for kind, if_match in with_each(["", "7", '"7', '*, "7"', "W/7"], "7"):
            with subtests.test(kind=kind, if_match=if_match):
                refusal(await write(alice, task, kind, if_match), 422, "validation_error", "If-Match")

    async def test_a_version_that_no_task_can_have_is_refused(self, alice, task, refusal, subtests):
        for kind, version in with_each([0, -1, BIG + 1, "7", None, 1.5, True], 0, "7", None):
            with subtests.test(kind=kind, version=version):
                response = await write(alice, task, kind, if_version=version)
                refusal(response, 422, "validation_error", "if_version")

    async def test_a_misspelt_condition_on_a_deletion_deletes_nothing(self, alice, task, refusal):
        refusal(await write(alice, task, ("DELETE", "", {}), if_versoin=1), 422, "validation_error", "if_versoin")
        assert (await alice.get(alice.path)).json() == [task]

    async def test_a_creation_with_a_condition_is_refused(self, alice, refusal):
        response = await alice.post(alice.path, json={"title": "A", "if_version": 1})
        refusal(response, 422, "validation_error", "if_version")

    async def test_many_tasks_cannot_be_deleted_by_one_etag(self, alice, task, refusal):
        response = await alice.delete(alice.path, params={"status": "all"}, headers={"If-Match": '"1"'})
        refusal(response, 422, "validation_error", "If-Match")
        assert (await alice.get(alice.path)).json() == [task]

    async def test_a_write_with_a_condition_is_one_statement_too(self, alice, task, statements):
        with statements() as seen:
            await write(alice, task, ("PATCH", "", {"title": "Third"}), '"{0}"')
        assert len(seen) == 1

    async def test_of_fifty_writers_with_the_same_expected_version_exactly_one_succeeds(self, alice, task):
        answers = await asyncio.gather(
            *(write(alice, task, ("PATCH", "", {"title": f"Writer {number}"}), '"{0}"') for number in range(50))
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 49}
        (won,) = (answer.json() for answer in answers if answer.status_code == 200)
        assert all(answer.json()["current"] == won for answer in answers if answer.status_code == 412)
        assert won["version"] == task["version"] + 1

    async def test_of_writers_of_all_kinds_exactly_one_wins(self, alice):
        for _ in range(5):
            task = await alice.make()
            answers = await asyncio.gather(
                *(write(alice, task, kind, '"{0}"') for kind in WRITES if kind[2] or kind[1] or kind[0] == "DELETE")
            )
            assert sum(answer.is_success for answer in answers) == 1
            assert {answer.status_code for answer in answers if not answer.is_success} <= {404, 412}


MANGLED = [
    'W/"{0}"',
    '"{0}-gzip"',
    '"{0};gzip"',
    '"{0}--gzip"',
    '"{0}-br"',
    'W/"{0}-gzip"',
    '"{0}:zstd"',
    '"{0}/deflate"',
]


class TestETagsThatAProxyHasChanged:
    async def test_a_write_is_refused_with_the_true_reason(self, alice, task, refusal, subtests):
        for kind, if_match in with_each(MANGLED, 'W/"{0}"', '"{0}-gzip"'):
            with subtests.test(kind=kind, if_match=if_match):
                problem = refusal(await write(alice, task, kind, if_match), 412, "version_mismatch")
                assert "A proxy that compresses responses has changed the ETag" in problem["detail"]
                assert "send the version as 'if_version' in the body" in problem["detail"]
                assert "has changed since" not in problem["detail"]
                assert problem["current"] == task
        assert (await write(alice, task, WRITES[0], if_version=task["version"])).is_success

    @pytest.mark.parametrize("if_match", MANGLED)
    async def test_a_changed_etag_beside_an_unchanged_one_is_ignored(self, alice, task, if_match):
        response = await write(alice, task, ("PATCH", "", {"title": "Third"}), f'{if_match}, "{{0}}"')
        assert (response.status_code, response.json()["title"]) == (200, "Third")

    @pytest.mark.usefixtures("one_minute")
    @pytest.mark.parametrize("tail", ["/{0}", "", "/summary"])
    async def test_a_read_understands_a_changed_etag(self, alice, task, subtests, tail):
        url = alice.path + tail.format(task["id"])
        etag = (await alice.get(url)).headers["etag"]
        for mangled in MANGLED:
            with subtests.test(mangled=mangled):
                response = await alice.get(url, headers={"If-None-Match": mangled.format(etag.strip('"'))})
                assert (response.status_code, response.headers["etag"]) == (304, etag)

    @pytest.mark.parametrize("tag", ['"1{0}-gzip"', '"{0}gzip"', '"{0}-gzip-x"', '"{0}-foo"', '"-gzip"'])
    async def test_another_etag_is_not_mistaken_for_a_changed_one(self, alice, task, tag):
        url = f"{alice.path}/{task['id']}"
        response = await alice.get(url, headers={"If-None-Match": tag.format(task["version"])})
        assert response.status_code == 200


class TestWritingWhatOneHasNotSeen:
    """RFC 9110 section 13.1.2: for methods other than GET and HEAD, a false `If-None-Match` is 412."""

    async def test_a_write_excluded_by_if_none_match_changes_nothing_and_shows_the_task(
        self, alice, task, refusal, subtests
    ):
        excludes = "If-None-Match excludes this write, because the task exists at version "
        for kind, if_none_match in with_each(["*", '"{0}"', '"1", "{0}"', *MANGLED], "*", '"1", "{0}"'):
            with subtests.test(kind=kind, if_none_match=if_none_match):
                problem = refusal(await unless(alice, task, kind, if_none_match), 412, "version_mismatch")
                assert problem["detail"].startswith(excludes)
                assert problem["current"] == task
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task
        assert (await alice.make())["version"] == task["version"] + 1

    async def test_a_write_that_if_none_match_does_not_exclude_succeeds(self, alice, subtests):
        for kind, if_none_match in with_each(['"1"', '"1", "0{0}"', '"x"', 'W/"1"', f'"{BIG + 1}"'], '"1"'):
            with subtests.test(kind=kind, if_none_match=if_none_match):
                response = await unless(alice, await changed(alice), kind, if_none_match)
                assert response.status_code == (204 if kind[0] == "DELETE" else 200), response.text

    @pytest.mark.parametrize("kind", WRITES)
    async def test_both_conditions_must_hold(self, alice, task, refusal, kind):
        for if_match, if_none_match in (('"1"', '"1"'), ('"{0}"', '"{0}"'), ("*", "*"), ('"1"', "*")):
            response = await unless(alice, task, kind, if_none_match, if_match)
            refusal(response, 412, "version_mismatch")
        assert (await unless(alice, task, kind, '"1"', '"{0}"')).is_success

    async def test_a_missing_task_is_404_with_a_condition_too(self, alice, task, refusal, subtests):
        for kind in WRITES:
            with subtests.test(kind=kind):
                refusal(await unless(alice, task | {"id": BIG}, kind, "*"), 404, "task_not_found")

    async def test_an_unreadable_if_none_match_is_refused(self, alice, task, refusal, subtests):
        for kind, if_none_match in with_each(["", "7", '"7', '*, "7"'], "7"):
            with subtests.test(kind=kind, if_none_match=if_none_match):
                refusal(await unless(alice, task, kind, if_none_match), 422, "validation_error", "If-None-Match")

    async def test_if_none_match_is_decided_in_the_statement(self, alice, task, statements):
        with statements() as seen:
            await unless(alice, task, ("PATCH", "", {"title": "Third"}), '"1"')
        assert len(seen) == 1

    async def test_of_fifty_writers_that_exclude_the_same_version_exactly_one_succeeds(self, alice, task):
        later = task["version"] + 1
        answers = await asyncio.gather(
            *(
                unless(alice, {"id": task["id"], "version": later}, ("PATCH", "", {"title": f"Writer {n}"}), '"{0}"')
                for n in range(50)
            )
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 49}

    async def test_if_none_match_without_a_task_to_compare_is_refused(self, alice, task, refusal, subtests):
        for name in ["If-Match", "If-None-Match"]:
            for method, path, body in [
                ("POST", "/api/me/tasks", {"title": "A"}),
                ("DELETE", "/api/me/tasks?status=all", None),
                ("POST", "/api/me/tasks/batch", {"operations": [{"op": "create", "task": {"title": "A"}}]}),
                ("POST", "/api/me/import", {"tasks": [{"title": "A"}]}),
                ("POST", "/api/me/trash/1/restore", None),
                ("DELETE", "/api/me/trash/1", None),
                ("DELETE", "/api/me/trash", None),
                ("DELETE", "/api/me", {"confirm": "alice"}),
            ]:
                with subtests.test(name=name, method=method, path=path, body=body):
                    response = await alice.request(method, path, json=body, headers={name: "*"})
                    refusal(response, 422, "validation_error", name)
                    assert (await alice.get(alice.path)).json() == [task]


async def unless(caller, task, kind, if_none_match, if_match=None):
    method, tail, body = kind
    headers = {"If-None-Match": if_none_match.format(task["version"])}
    if if_match is not None:
        headers["If-Match"] = if_match.format(task["version"])
    return await caller.request(method, f"{caller.path}/{task['id']}{tail}", json=body, headers=headers)


class TestReadingWhatOneHas:
    @pytest.mark.usefixtures("one_minute")
    async def test_an_unchanged_resource_is_304(self, alice, task, private, subtests):
        for tail in ("/{0}", "", "?overdue=true", "?limit=1&count=true&sort=title", "/summary"):
            url = alice.path + tail.format(task["id"])
            first = await alice.get(url)
            etag = first.headers["etag"]
            for method in ("GET", "HEAD"):
                with subtests.test(method=method, tail=tail):
                    for sent in (etag, f"W/{etag}", f'"x", {etag}', "*"):
                        answer = await alice.request(method, url, headers={"If-None-Match": sent})
                        assert answer.status_code == 304
                        assert answer.content == b""
                        assert answer.headers["etag"] == etag
                        assert "content-type" not in answer.headers
                        private(answer)
                    for sent in ('"x"', "7", ""):
                        answer = await alice.request(method, url, headers={"If-None-Match": sent})
                        assert answer.status_code == 200
                        assert answer.headers["content-length"] == first.headers["content-length"]

    async def test_any_write_changes_the_etag_of_every_list(self, alice, task):
        urls = [alice.path, f"{alice.path}?status=completed", f"{alice.path}?limit=1", f"{alice.path}/summary"]
        before = [(await alice.get(url)).headers["etag"] for url in urls]
        await alice.post(f"{alice.path}/{task['id']}/complete")
        for url, etag in zip(urls, before, strict=True):
            answer = await alice.get(url, headers={"If-None-Match": etag})
            assert answer.status_code == 200
            assert answer.headers["etag"] != etag

    async def test_equal_queries_have_equal_etags_and_different_queries_different_ones(self, alice, task):
        same = ["", "?status=all", "?sort=created&order=desc"]
        others = ["?status=pending", "?limit=5", "?limit=6", "?count=true", "?q=x", "?tag=x", "?overdue=true"]
        assert len({(await alice.get(alice.path + url)).headers["etag"] for url in same}) == 1
        assert len({(await alice.get(alice.path + url)).headers["etag"] for url in ["", *others]}) == len(others) + 1

    async def test_the_next_page_has_its_own_etag(self, alice):
        for _ in range(3):
            await alice.make()
        first = await alice.get(f"{alice.path}?limit=1")
        second = await alice.get(first.links["next"]["url"])
        assert first.headers["etag"] != second.headers["etag"]

    async def test_an_unchanged_list_costs_one_row(self, alice, task, statements):
        etag = (await alice.get(alice.path)).headers["etag"]
        with statements() as seen:
            await alice.get(alice.path, headers={"If-None-Match": etag})
        assert len(seen) == 1
        assert "tasks" not in seen[0][0]

    async def test_a_user_who_returns_after_an_erasure_gets_no_304(self, alice, connection):
        await alice.make("Before")
        etag = (await alice.get(alice.path)).headers["etag"]
        await connection.execute("DELETE FROM users WHERE id = 'alice'")
        nothing = await alice.get(alice.path, headers={"If-None-Match": etag})
        assert (nothing.status_code, nothing.json()) == (200, [])
        await alice.make("After")
        anew = await alice.get(alice.path, headers={"If-None-Match": f"{etag}, {nothing.headers['etag']}"})
        assert [task["title"] for task in anew.json()] == ["After"]

    async def test_an_etag_of_another_user_never_matches(self, alice, bob, task, refusal):
        answer = await bob.get(f"{bob.path}/{task['id']}", headers={"If-None-Match": etag_of(task)})
        refusal(answer, 404, "task_not_found")
        for _ in range(2):  # a task with the same id and the same version
            same = await bob.make()
        same = (await bob.patch(f"{bob.path}/1", json={"title": "Theirs"})).json()
        await alice.post(f"{alice.path}/1/complete")
        mine = await alice.get(f"{alice.path}/1")
        assert (same["id"], same["version"]) == (mine.json()["id"], mine.json()["version"])
        for tag in (mine.headers["etag"], f'"{same["version"]}"'):
            assert (await bob.get(f"{bob.path}/1", headers={"If-None-Match": tag})).status_code == 200
        theirs = (await alice.get(alice.path)).headers["etag"]
        assert (await bob.get(bob.path, headers={"If-None-Match": theirs})).status_code == 200

    async def test_an_allowed_page_may_read_the_etag_of_a_304(self, alice, task):
        headers = {"Origin": "https://app.example.com", "If-None-Match": etag_of(task)}
        answer = await alice.get(f"{alice.path}/{task['id']}", headers=headers)
        assert answer.status_code == 304
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "ETag" in answer.headers["access-control-expose-headers"]
