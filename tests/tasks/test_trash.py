"""The trash: its list, page by page; restoring and destroying tasks."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.etags import etag_of

TRASH = "/api/alice/trash"
NEXT = re.compile(r'<([^<>"\s]+)>; rel="next"')


async def delete(caller, *titles: str, **fields: object) -> list[dict]:
    """Create and delete tasks, in this order."""
    made = [await caller.make(title, **fields) for title in titles]
    for task in made:
        assert (await caller.delete(f"{caller.path}/{task['id']}")).status_code == 204
    return made


async def walk(caller, url: str) -> list[dict]:
    """Return the whole trash, by following its links."""
    found = []
    while url:
        response = await caller.get(url)
        assert response.status_code == 200, response.text
        found += response.json()
        link = response.headers.get("link")
        url = NEXT.fullmatch(link)[1] if link else ""
    return found


class TestListing:
    async def test_an_empty_trash_is_an_empty_array(self, alice, private):
        await alice.make("Live")
        response = await alice.get(TRASH)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        private(response)
        assert response.json() == []
        assert "link" not in response.headers
        assert "x-total-count" not in response.headers

    async def test_a_deleted_task_is_in_the_trash_unchanged_with_its_deletion_time(self, alice):
        (task,) = await delete(alice, "Old", description="d", priority="high", tags=["x"], due_date="2026-12-24")
        (found,) = (await alice.get(TRASH)).json()
        assert found.pop("deleted_at") == found["updated_at"] > task["updated_at"]
        assert found == {**task, "updated_at": found["updated_at"], "version": 2}

    async def test_the_trash_lists_the_last_deletion_first(self, alice):
        a, b, c = await delete(alice, "a", "b", "c")
        assert [task["id"] for task in (await alice.get(TRASH)).json()] == [c["id"], b["id"], a["id"]]

    async def test_tasks_deleted_together_are_listed_in_the_order_of_ids(self, alice):
        operations = [{"op": "create", "task": {"title": title}} for title in "abcde"]
        assert (await alice.post(f"{alice.path}/batch", json={"operations": operations})).status_code == 200
        await alice.delete(f"{alice.path}?status=all")
        whole = (await alice.get(TRASH)).json()
        assert [task["title"] for task in whole] == list("edcba")
        assert len({task["deleted_at"] for task in whole}) == 1
        for limit in (1, 2, 5):
            assert await walk(alice, f"{TRASH}?limit={limit}") == whole

    async def test_a_page_of_the_trash_links_to_the_next_and_counts_all(self, alice):
        await delete(alice, *"abcde")
        await alice.make("Live")
        response = await alice.get(f"{TRASH}?limit=2&count=true")
        assert [task["title"] for task in response.json()] == ["e", "d"]
        assert response.headers["x-total-count"] == "5"
        assert re.fullmatch(
            r'</api/alice/trash\?limit=2&count=true&cursor=[\w-]+>; rel="next"', response.headers["link"]
        )
        assert [task["title"] for task in await walk(alice, f"{TRASH}?limit=2")] == list("edcba")
        assert (await alice.get(f"{TRASH}?count=true")).headers["x-total-count"] == "5"

    async def test_deleted_tasks_come_once_despite_changes_between_pages(self, alice):
        made = await delete(alice, *"abcdefghi")
        url, seen = f"{TRASH}?limit=2", []
        while url:
            response = await alice.get(url)
            page = response.json()
            seen += [task["title"] for task in page]
            # Restore the last task of the page, on which the cursor is; destroy the first; delete new ones.
            await alice.post(f"{TRASH}/{page[-1]['id']}/restore")
            await alice.delete(f"{TRASH}/{page[0]['id']}")
            await delete(alice, "new")
            link = response.headers.get("link")
            url = NEXT.fullmatch(link)[1] if link else ""
        assert seen == [task["title"] for task in made[::-1]]

    async def test_a_parameter_that_is_unknown_or_breaks_its_rule_is_refused(
        self, alice, refusal, statements, subtests
    ):
        for query, field in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=ten", "limit"),
            ("limit=1&limit=2", "limit"),
            ("count=maybe", "count"),
            ("status=all", "status"),
            ("sort=title", "sort"),
            ("limt=5", "limt"),
            ("cursor=x", "cursor"),
            ("limit=5&cursor=x", "cursor"),
        ]:
            with subtests.test(query=query, field=field):
                with statements() as seen:
                    response = await alice.get(f"{TRASH}?{query}")
                refusal(response, 422, "validation_error", field)
                assert seen == []

    async def test_the_list_and_the_trash_refuse_the_cursors_of_each_other(self, alice, refusal):
        await delete(alice, "a", "b")
        await alice.make("c")
        await alice.make("d")
        for here, there in ((TRASH, alice.path), (alice.path, TRASH)):
            link = (await alice.get(f"{here}?limit=1")).links["next"]["url"]
            refusal(await alice.get(link.replace(here, there)), 422, "validation_error", "cursor")


class TestRestoring:
    async def test_a_restored_task_is_live_again_under_its_id(self, alice, private):
        (task,) = await delete(alice, "Old", completed=True, tags=["x"])
        response = await alice.post(f"{TRASH}/{task['id']}/restore")
        assert response.status_code == 200
        private(response)
        restored = response.json()
        assert restored == {**task, "version": 3, "updated_at": restored["updated_at"]}
        assert response.headers["etag"] == etag_of(restored)
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == restored
        assert (await alice.get(alice.path)).json() == [restored]
        assert (await alice.get(TRASH)).json() == []

    async def test_a_task_that_is_not_in_the_trash_is_404(self, alice, refusal):
        task = await alice.make()
        for task_id in (task["id"], task["id"] + 1, 0, "x", 2**63):
            refusal(await alice.post(f"{TRASH}/{task_id}/restore"), 404, "task_not_found")
        assert (await alice.get(f"{alice.path}/{task['id']}")).json() == task

    async def test_a_second_restore_is_404(self, alice, refusal):
        (task,) = await delete(alice, "Old")
        assert (await alice.post(f"{TRASH}/{task['id']}/restore")).status_code == 200
        refusal(await alice.post(f"{TRASH}/{task['id']}/restore"), 404, "task_not_found")

    async def test_a_restore_beyond_the_quota_leaves_the_task_in_the_trash(self, alice, connection, refusal):
        (task,) = await delete(alice, "Old")
        await connection.execute("UPDATE users SET task_count = 10000 WHERE id = 'alice'")
        body = refusal(await alice.post(f"{TRASH}/{task['id']}/restore"), 409, "task_quota_exceeded")
        assert "10,000 tasks" in body["detail"]
        assert [found["id"] for found in (await alice.get(TRASH)).json()] == [task["id"]]


class TestDestroying:
    async def test_a_destroyed_task_cannot_be_restored(self, alice, private, refusal, connection):
        task, other = await delete(alice, "Old", "Other")
        response = await alice.delete(f"{TRASH}/{task['id']}")
        assert response.status_code == 204
        assert response.content == b""
        private(response)
        refusal(await alice.delete(f"{TRASH}/{task['id']}"), 404, "task_not_found")
        refusal(await alice.post(f"{TRASH}/{task['id']}/restore"), 404, "task_not_found")
        assert await connection.fetch("SELECT id FROM tasks") == [(other["id"],)]

    async def test_a_live_task_cannot_be_destroyed(self, alice, refusal):
        task = await alice.make()
        refusal(await alice.delete(f"{TRASH}/{task['id']}"), 404, "task_not_found")
        assert (await alice.get(alice.path)).json() == [task]

    async def test_emptying_the_trash_destroys_its_tasks_and_nothing_else(self, alice, private, connection):
        await delete(alice, *"abc")
        live = await alice.make("Live")
        response = await alice.delete(TRASH)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        private(response)
        assert response.json() == {"deleted": 3}
        assert (await alice.delete(TRASH)).json() == {"deleted": 0}
        assert await connection.fetch("SELECT id FROM tasks") == [(live["id"],)]

    async def test_an_unknown_filter_destroys_nothing(self, alice, refusal, statements, subtests):
        await delete(alice, "Old")
        for query in ["status=completed", "limit=1", "older_than=30"]:
            with subtests.test(query=query):
                with statements() as seen:
                    response = await alice.delete(f"{TRASH}?{query}")
                body = refusal(response, 422, "validation_error", query.partition("=")[0])
                assert "no name is allowed here" in body["detail"]
                assert seen == []
                assert len((await alice.get(TRASH)).json()) == 1


class TestConditions:
    """Tasks in the trash never change, so a condition on the version would have no effect."""

    WRITES = (("POST", "/{id}/restore"), ("DELETE", "/{id}"), ("DELETE", ""))

    async def test_the_trash_refuses_every_if_match(self, alice, refusal, statements, subtests):
        (task,) = await delete(alice, "Old")
        for (method, tail), etag in product(self.WRITES, ['"1"', '"2"', "*", "rubbish"]):
            with subtests.test(method=method, tail=tail, etag=etag):
                with statements() as seen:
                    response = await alice.request(method, TRASH + tail.format(**task), headers={"If-Match": etag})
                body = refusal(response, 422, "validation_error", "If-Match")
                assert "a task in the trash cannot change, so it needs no condition" in body["detail"]
                assert seen == []
        assert [found["id"] for found in (await alice.get(TRASH)).json()] == [task["id"]]

    async def test_the_trash_refuses_a_member_of_a_body_by_name(self, alice, refusal, statements, subtests):
        (task,) = await delete(alice, "Old")
        for (method, tail), body in product(self.WRITES, [{"if_version": 2}, {"status": "completed"}]):
            with subtests.test(method=method, tail=tail, body=body):
                with statements() as seen:
                    response = await alice.request(method, TRASH + tail.format(**task), json=body)
                refused = refusal(response, 422, "validation_error", *body)
                assert "no name is allowed here" in refused["detail"]
                assert seen == []
        assert [found["id"] for found in (await alice.get(TRASH)).json()] == [task["id"]]

    @pytest.mark.parametrize(("method", "tail"), WRITES)
    async def test_a_body_for_the_trash_is_json_or_empty(self, alice, refusal, method, tail):
        (task,) = await delete(alice, "Old")
        url = TRASH + tail.format(**task)
        refusal(await alice.request(method, url, content=b"{}"), 415, "unsupported_media_type")
        json = {"Content-Type": "application/json"}
        refusal(await alice.request(method, url, content=b"{", headers=json), 400, "malformed_json")
        refusal(await alice.request(method, url, json=[2]), 422, "validation_error", "body")
        for content in (b" ", b"{}"):
            assert (await alice.request(method, url, content=content, headers=json)).is_success
            await delete(alice, "Other")
            (task, *_) = (await alice.get(TRASH)).json()
            url = TRASH + tail.format(**task)
