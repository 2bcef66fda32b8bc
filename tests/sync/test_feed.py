"""GET /api/{user_id}/tasks/changes: the changes that a client needs to update its copy."""

from __future__ import annotations

import pytest


def feed(caller, query: str = "") -> str:
    return f"{caller.path}/changes?{query}"


async def changes(caller, query: str = "") -> dict:
    response = await caller.get(feed(caller, query))
    assert response.status_code == 200, response.text
    return response.json()


def at(position: str, revision: int) -> str:
    """Return the position at `revision` in the same history as `position`."""
    return f"{position.partition('-')[0]}-{revision}"


@pytest.fixture
async def forget(connection):
    """Permanently remove tasks as the upkeep does: rows are removed, and their newest version becomes `forgotten`."""

    async def purge(*ids: int) -> None:
        await connection.execute(
            """
            WITH gone AS (DELETE FROM tasks WHERE user_id = 'alice' AND id = ANY ($1) RETURNING version)
            UPDATE users SET forgotten = greatest(forgotten, (SELECT max(version) FROM gone)) WHERE id = 'alice'
            """,
            ids,
        )

    return purge


async def test_without_a_token_there_is_no_change_feed(http, refusal):
    refusal(await http.get("/api/alice/tasks/changes"), 401, "authentication_required")


async def test_another_user_is_refused_before_the_query_is_checked(bob, statements, refusal):
    with statements() as seen:
        refusal(await bob.get("/api/alice/tasks/changes?since=nonsense"), 403, "forbidden")
    assert seen == []


async def test_before_the_first_write_the_feed_is_empty_and_its_position_0_stays_valid(alice):
    response = await alice.get(feed(alice))
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.text == '{"changes":[],"next":"0","has_more":false}'
    assert (await alice.head(feed(alice))).status_code == 200
    made = await alice.make()
    assert (await changes(alice, "since=0"))["changes"] == [made]


async def test_a_full_sync_returns_every_live_task_as_get_does_in_the_order_of_versions(alice):
    made = [await alice.make(f"Task {number}", tags=["a", "b"], due_date="2026-12-24") for number in range(4)]
    await alice.patch(f"{alice.path}/{made[0]['id']}", json={"title": "Changed"})
    await alice.delete(f"{alice.path}/{made[1]['id']}")
    found = await changes(alice)
    assert [task["id"] for task in found["changes"]] == [made[index]["id"] for index in (2, 3, 0)]
    assert found["changes"] == [(await alice.get(f"{alice.path}/{one['id']}")).json() for one in found["changes"]]
    assert (found["next"], found["has_more"]) == (at(found["next"], 6), False)


async def test_after_a_position_each_changed_or_deleted_task_comes_once_in_its_newest_state(alice):
    made = [await alice.make(f"Task {number}") for number in range(3)]
    position = (await changes(alice))["next"]
    for title in ("B", "C"):
        await alice.patch(f"{alice.path}/{made[0]['id']}", json={"title": title})
    await alice.delete(f"{alice.path}/{made[1]['id']}")
    found = await changes(alice, f"since={position}")
    assert [(one["id"], one["version"]) for one in found["changes"]] == [(made[0]["id"], 5), (made[1]["id"], 6)]
    assert found["changes"][0]["title"] == "C"
    assert found["changes"][1] == {"id": made[1]["id"], "uid": made[1]["uid"], "version": 6, "deleted": True}
    assert (found["next"], found["has_more"]) == (at(position, 6), False)
    assert await changes(alice, f"since={found['next']}") == {"changes": [], "next": found["next"], "has_more": False}


async def test_tasks_deleted_together_can_be_read_page_by_page(alice):
    for number in range(5):
        await alice.make(f"Task {number}")
    position = (await changes(alice))["next"]
    await alice.delete(f"{alice.path}?status=all")
    versions, more = [], True
    while more:
        page = await changes(alice, f"since={position}&limit=2")
        versions += [one["version"] for one in page["changes"]]
        assert page["next"] == at(position, versions[-1])
        assert len(page["changes"]) <= 2
        position, more = page["next"], page["has_more"]
    assert versions == [6, 7, 8, 9, 10]


async def test_a_page_that_ends_with_the_last_change_has_no_more(alice):
    await alice.make()
    await alice.make()
    assert (await changes(alice, "since=0&limit=2"))["has_more"] is False
    first = await changes(alice, "since=0&limit=1")
    assert (first["next"], first["has_more"]) == (at(first["next"], 1), True)


async def test_the_feed_has_no_changes_of_other_users(alice, bob):
    for number in range(3):
        await bob.make(f"Bob's {number}")
    await alice.make("Alice's")
    found = await changes(alice)
    assert [task["title"] for task in found["changes"]] == ["Alice's"]
    assert await changes(alice, f"since={found['next']}") == {"changes": [], "next": found["next"], "has_more": False}


async def test_a_position_of_another_user_is_410(alice, bob, refusal):
    await alice.make()
    await bob.make()
    refusal(await alice.get(feed(alice, f"since={(await changes(bob))['next']}")), 410, "sync_position_gone")


@pytest.mark.parametrize("revision", [2, 2**63 - 1])
async def test_a_future_revision_is_410(alice, refusal, revision):
    await alice.make()
    position = at((await changes(alice))["next"], revision)
    body = refusal(await alice.get(feed(alice, f"since={position}")), 410, "sync_position_gone")
    assert "read everything again with since=0" in body["detail"]


@pytest.mark.parametrize("later", [0, 3, 5, 8])
async def test_a_position_from_before_an_erasure_is_410_whatever_was_written_since(alice, refusal, later):
    for number in range(5):
        await alice.make(f"Before {number}")
    position = (await changes(alice))["next"]
    assert (await alice.request("DELETE", "/api/me", json={"confirm": "alice"})).status_code == 204
    made = [await alice.make(f"After {number}") for number in range(later)]
    refusal(await alice.get(feed(alice, f"since={position}")), 410, "sync_position_gone")
    found = await changes(alice, "since=0")
    assert found["changes"] == made
    assert (await changes(alice, f"since={found['next']}"))["changes"] == []


async def test_a_full_sync_that_an_erasure_interrupts_does_not_mix_two_histories(alice, refusal):
    for number in range(3):
        await alice.make(f"Before {number}")
    first = await changes(alice, "since=0&limit=1")
    await alice.request("DELETE", "/api/me", json={"confirm": "alice"})
    for number in range(5):
        await alice.make(f"After {number}")
    refusal(await alice.get(feed(alice, f"since={first['next']}&limit=1")), 410, "sync_position_gone")


async def test_a_position_before_the_newest_removed_tombstone_is_410_and_one_at_it_is_not(alice, forget, refusal):
    made = [await alice.make(f"Task {number}") for number in range(4)]
    await alice.delete(f"{alice.path}/{made[1]['id']}")  # revision 5
    await alice.make("The last")
    await forget(made[1]["id"])
    newest = (await changes(alice))["next"]
    for revision in (0, 1, 4):
        refusal(await alice.get(feed(alice, f"since={at(newest, revision)}")), 410, "sync_position_gone")
    assert [one["version"] for one in (await changes(alice, f"since={at(newest, 5)}"))["changes"]] == [6]


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_a_full_sync_completes_despite_removed_tombstones_and_keeps_to_its_limit(alice, forget, limit):
    made = [await alice.make(f"Task {number}") for number in range(6)]
    await alice.delete(f"{alice.path}/{made[3]['id']}")  # revision 7
    await alice.delete(f"{alice.path}/{made[4]['id']}")  # revision 8, which stays in the trash
    await forget(made[3]["id"])
    for number in range(3):
        await alice.make(f"Later {number}")
    seen, page = [], await changes(alice, f"since=0&limit={limit}")
    while True:
        assert len(page["changes"]) <= limit
        seen += page["changes"]
        if not page["has_more"]:
            break
        page = await changes(alice, f"since={page['next']}&limit={limit}")
    assert [one["version"] for one in seen if not one.get("deleted")] == [1, 2, 3, 6, 9, 10, 11]
    assert page["next"] == at(page["next"], 11)


async def test_a_full_sync_starts_again_if_a_tombstone_is_removed_during_it(alice, forget, refusal):
    made = [await alice.make(f"Task {number}") for number in range(4)]
    for old in made[:2]:
        await alice.delete(f"{alice.path}/{old['id']}")  # revisions 5 and 6
    await forget(made[0]["id"])
    first = await changes(alice, "since=0&limit=1")
    assert [one["version"] for one in first["changes"]] == [3]
    again = await changes(alice, f"since={first['next']}&limit=1")
    assert [one["version"] for one in again["changes"]] == [4]
    await forget(made[1]["id"])
    refusal(await alice.get(feed(alice, f"since={first['next']}&limit=1")), 410, "sync_position_gone")
    refusal(await alice.get(feed(alice, f"since={again['next']}&limit=1")), 410, "sync_position_gone")


async def test_an_invalid_position_or_limit_is_refused_by_name(alice, statements, refusal, subtests):
    for query, field in [
        ("since=-1", "since"),
        ("since=1", "since"),
        ("since=5", "since"),
        ("since=00", "since"),
        ("since=x", "since"),
        ("since=-", "since"),
        ("since=64a1b2c3d4e5f", "since"),
        ("since=64a1b2c3d4e5f-", "since"),
        ("since=64A1B2C3D4E5F-1", "since"),
        ("since=64a1b2c3d4e5f-1-0", "since"),
        (f"since=64a1b2c3d4e5f-1-{2**63}", "since"),
        ("since=64a1b2c3d4e5f-1-", "since"),
        ("since=64a1b2c3d4e5f-01", "since"),
        ("since=64a1b2c3d4e5f-%D9%A1", "since"),
        ("since=64a1b2c3d4e5f-1%0A", "since"),
        (f"since=64a1b2c3d4e5f-{2**63}", "since"),
        ("since=0&since=0", "since"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=9999999999999999999", "limit"),
        ("sort=id", "sort"),
        ("status=all", "status"),
    ]:
        with subtests.test(query=query, field=field):
            with statements() as seen:
                refusal(await alice.get(feed(alice, query)), 422, "validation_error", field)
            assert seen == []


async def test_a_page_of_the_feed_is_one_statement(alice, statements):
    await alice.make()
    with statements() as seen:
        await changes(alice)
    assert len(seen) == 1
    assert seen[0][1] == ("alice", "", 0, 0, 500)
