"""/api/{user_id}/lists: create, read, list and change the lists of a user."""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

import pytest

from service.database.operations import MAXIMUM_LISTS

LISTS = "/api/me/lists"
UID = "019aceef-9a40-7b52-a1d4-3c8e0f6a7b21"
MEMBERS = ["id", "uid", "name", "color", "position", "archived", "created_at", "updated_at", "version"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def named(caller, query: str = "") -> list[str]:
    """Return the names of the lists in their order."""
    return [one["name"] for one in (await caller.get(f"{LISTS}{query}")).json()]


class TestCreation:
    async def test_a_created_list_has_all_members_with_its_etag_and_location(self, alice, private):
        response = await alice.post(LISTS, json={"name": "  Garden "})
        made = response.json()
        assert response.status_code == 201
        private(response)
        assert list(made) == MEMBERS
        assert (made["name"], made["color"], made["archived"]) == ("Garden", None, False)
        assert made["id"] == made["version"] == 1
        assert UUID(made["uid"]).version == 7
        assert made["created_at"] == made["updated_at"]
        assert TIME.fullmatch(made["created_at"])
        assert response.headers["etag"] == f'"1.{made["uid"][-8:]}"'
        assert response.headers["location"] == "/api/alice/lists/1"
        assert (await alice.get(response.headers["location"])).json() == made

    async def test_tasks_and_lists_take_their_ids_from_the_same_revisions(self, alice, make_list):
        assert [(await alice.make())["id"], (await make_list(alice))["id"], (await alice.make())["id"]] == [1, 2, 3]

    async def test_two_lists_may_have_the_same_name(self, alice, make_list):
        first, second = await make_list(alice, "Garden"), await make_list(alice, "Garden")
        assert first["uid"] != second["uid"]

    async def test_a_name_is_trimmed_and_has_up_to_100_characters(self, alice, make_list):
        for name in ["G", "x" * 100, f"  {'é' * 100}\n", "\U0001f331" * 100, "Werkstatt & Küche <b>"]:
            assert (await make_list(alice, name))["name"] == name.strip()

    async def test_any_other_name_is_refused(self, alice, refusal, subtests):
        for name in ["", "  ", "\u200b", "\u2060\ufeff", "x" * 101, "a\0b", None, 5, ["a"], {}]:
            with subtests.test(name=name):
                refusal(await alice.post(LISTS, json={"name": name}), 422, "validation_error", "name")

    async def test_a_name_is_required(self, alice, refusal):
        body = refusal(await alice.post(LISTS, json={}), 422, "validation_error", "name")
        assert "is required" in body["detail"]
        assert '{"name":"Garden"}' in refusal(await alice.post(LISTS), 400, "malformed_json")["detail"]

    async def test_a_color_is_stored_in_lower_case(self, alice, make_list):
        for color in ["#2e7d32", "#2E7D32", "#AbCdEf", None]:
            assert (await make_list(alice, color=color))["color"] == (color and color.lower())

    async def test_any_other_color_is_refused(self, alice, refusal, subtests):
        for color in ["red", "", "#fff", "2e7d32", "#2e7d3g", "#2e7d3\uff12", "#2e7d32\n", "#2e7d3200", 5]:
            with subtests.test(color=color):
                body = refusal(
                    await alice.post(LISTS, json={"name": "A", "color": color}), 422, "validation_error", "color"
                )
                assert "#2e7d32" in body["detail"]

    async def test_archived_must_be_true_or_false(self, alice, refusal, subtests):
        for archived in [None, "yes", "true", 0, 1]:
            with subtests.test(archived=archived):
                sent = {"name": "A", "archived": archived}
                refusal(await alice.post(LISTS, json=sent), 422, "validation_error", "archived")

    async def test_members_that_the_service_assigns_are_ignored_and_unknown_ones_refused(self, alice, refusal):
        assigned = {"id": 99, "version": 99, "created_at": "x", "updated_at": None, "deleted_at": "x", "type": "task"}
        made = (await alice.post(LISTS, json={"name": "A", **assigned})).json()
        assert (made["id"], made["version"]) == (1, 1)
        for field in ("user_id", "title", "list_id", "tasks"):
            refusal(await alice.post(LISTS, json={"name": "A", field: 1}), 422, "validation_error", field)

    async def test_all_faults_are_named_together(self, alice, refusal):
        sent = {"name": " ", "color": "red", "archived": 1, "nmae": "A"}
        body = refusal(await alice.post(LISTS, json=sent), 422, "validation_error", "name", "color", "archived", "nmae")
        assert "did you mean 'name'?" in body["detail"]

    async def test_the_names_of_other_services_are_recognised(self, alice, refusal, subtests):
        for sent, meant in [
            ("title", "name"), ("colour", "color"), ("isArchived", "archived"), ("rank", "position"), ("Name", "name"),
        ]:  # fmt: skip
            with subtests.test(sent=sent):
                body = refusal(await alice.post(LISTS, json={"name": "A", sent: "B"}), 422, "validation_error", sent)
                assert f"did you mean '{meant}'?" in body["detail"]

    async def test_the_list_after_the_maximum_is_refused(self, alice, refusal, make_list, counted):
        operations = [{"op": "create_list", "list": {"name": str(number)}} for number in range(100)]
        for _ in range(MAXIMUM_LISTS // 100):
            assert (await alice.post("/api/me/batch", json={"operations": operations})).status_code == 200
        body = refusal(await alice.post(LISTS, json={"name": "A"}), 409, "list_quota_exceeded")
        assert "500 lists" in body["detail"]
        last = (await alice.get(LISTS)).json()[-1]
        known = await alice.post(LISTS, json={"name": "A", "uid": last["uid"]})
        assert (known.status_code, known.json()) == (200, last)
        assert (await alice.delete(f"{LISTS}/{last['id']}")).status_code == 204
        await make_list(alice)
        assert await counted() == (MAXIMUM_LISTS, 0, 1)

    @pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
    async def test_a_condition_is_refused(self, alice, refusal, header):
        response = await alice.post(LISTS, json={"name": "A"}, headers={header: "*"})
        assert "Idempotency-Key" in refusal(response, 422, "validation_error", header)["detail"]


class TestUids:
    async def test_a_client_may_choose_the_uid_in_any_case(self, alice, make_list):
        made = await make_list(alice, "Garden", uid=UID.upper())
        assert made["uid"] == UID
        assert (await alice.get(f"{LISTS}/{UID}")).json() == made

    async def test_a_uid_that_is_no_uuid_is_refused(self, alice, refusal, subtests):
        for uid in ["", "x", UID[:-1], UID.replace("-", ""), f"{{{UID}}}", 5]:
            with subtests.test(uid=uid):
                refusal(await alice.post(LISTS, json={"name": "A", "uid": uid}), 422, "validation_error", "uid")

    async def test_a_repeated_creation_returns_the_list_as_it_is_and_writes_nothing(self, alice, make_list):
        made = await make_list(alice, "Garden", uid=UID)
        state = (await alice.get(LISTS)).headers["etag"]
        response = await alice.post(LISTS, json={"name": "Other", "uid": UID, "color": "#000000"})
        assert (response.status_code, response.json()) == (200, made)
        assert response.headers["etag"] == f'"{made["version"]}.{UID[-8:]}"'
        assert "location" not in response.headers
        assert (await alice.get(LISTS)).headers["etag"] == state

    async def test_of_fifty_concurrent_creations_with_one_uid_one_creates_the_list(self, alice, counted):
        answers = await asyncio.gather(
            *(alice.post(LISTS, json={"name": f"Garden {number}", "uid": UID}) for number in range(50))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len({answer.text for answer in answers}) == 1
        assert await counted() == (1, 0, 0)

    async def test_the_uid_of_a_deleted_list_is_taken(self, alice, refusal, make_list):
        await make_list(alice, uid=UID)
        await alice.delete(f"{LISTS}/{UID}")
        body = refusal(await alice.post(LISTS, json={"name": "A", "uid": UID}), 409, "in_trash")
        assert "restore it" in body["detail"]
        assert (await alice.delete(f"/api/me/trash/lists/{UID}")).status_code == 204
        await make_list(alice, uid=UID)

    async def test_the_uid_of_another_user_is_free_and_says_nothing_about_their_list(self, alice, bob, make_list):
        theirs = await make_list(bob, "Bob's", uid=UID)
        mine = await make_list(alice, "Mine", uid=UID)
        assert mine["name"] == "Mine"
        assert (await alice.patch(f"{LISTS}/{UID}", json={"name": "Still mine"})).status_code == 200
        assert (await bob.get(f"{LISTS}/{UID}")).json() == theirs

    async def test_a_task_may_have_the_uid_of_a_list(self, alice, make_list):
        await make_list(alice, uid=UID)
        assert (await alice.make(uid=UID))["uid"] == UID

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_an_object_of_the_change_feed_or_of_the_trash_can_be_sent_back(self, alice, make_list, method):
        made = await make_list(alice, "Garden", color="#2e7d32")
        path = f"{LISTS}/{made['id']}"
        await alice.delete(path)
        (trashed,) = (await alice.get("/api/me/trash/lists")).json()
        found = (await alice.post(f"/api/me/trash/lists/{made['id']}/restore")).json()
        (change,) = (await alice.get("/api/me/changes")).json()["changes"]
        assert ({*trashed} - {*found}, {*change} - {*found}) == ({"deleted_at"}, {"type"})
        for sent in (change, trashed):
            response = await alice.request(method, path, json=sent)
            assert (response.status_code, response.json()) == (200, found)
            operation = {"op": "update_list", "id": made["id"], "changes": sent}
            response = await alice.post("/api/me/batch", json={"operations": [operation]})
            assert (response.status_code, response.json()["results"]) == (200, [{"status": 200, "list": found}])
            response = await alice.post(LISTS, json=sent)
            assert (response.status_code, response.json()) == (200, found)

    async def test_the_uid_of_a_list_never_changes(self, alice, make_list):
        made = await make_list(alice)
        response = await alice.patch(f"{LISTS}/{made['id']}", json={"name": "B", "uid": UID})
        assert (response.status_code, response.json()["uid"]) == (200, made["uid"])


class TestReading:
    async def test_a_list_is_found_by_its_id_and_by_its_uid(self, alice, make_list):
        made = await make_list(alice)
        for name in (made["id"], made["uid"], made["uid"].upper()):
            response = await alice.get(f"{LISTS}/{name}")
            assert (response.status_code, response.json()) == (200, made)

    async def test_any_other_name_is_404(self, alice, refusal, make_list, subtests):
        await make_list(alice)
        for name in ["2", "0", "-1", "x", str(2**63), UID, "1.0", "inbox", "%31%00"]:
            with subtests.test(name=name):
                refusal(await alice.get(f"{LISTS}/{name}"), 404, "list_not_found")

    async def test_a_task_is_no_list_and_a_list_no_task(self, alice, refusal, make_list):
        task, made = await alice.make(), await make_list(alice)
        refusal(await alice.get(f"{LISTS}/{task['id']}"), 404, "list_not_found")
        refusal(await alice.get(f"{alice.path}/{made['id']}"), 404, "task_not_found")

    async def test_an_unchanged_list_is_304_without_a_body(self, alice, make_list):
        made = await make_list(alice)
        etag = f'"{made["version"]}.{made["uid"][-8:]}"'
        for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            response = await alice.get(f"{LISTS}/{made['id']}", headers={"If-None-Match": sent})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
        response = await alice.get(f"{LISTS}/{made['id']}", headers={"If-None-Match": '"1.00000000"'})
        assert response.status_code == 200

    async def test_no_lists_are_an_empty_array(self, alice, private):
        response = await alice.get(LISTS)
        assert (response.status_code, response.json()) == (200, [])
        private(response)
        assert response.headers["etag"]

    async def test_all_lists_are_listed_archived_ones_too(self, alice, make_list):
        for name in ("A", "B"):
            await make_list(alice, name, archived=name == "A")
        assert await named(alice) == ["B", "A"]
        assert await named(alice, "?archived=true") == ["A"]
        assert await named(alice, "?archived=false") == ["B"]
        assert await named(alice, "?archived=") == ["B", "A"]

    async def test_any_other_parameter_is_refused(self, alice, refusal, subtests):
        for query in ["archived=x", "archived=true&archived=false", "limit=1", "sort=name"]:
            with subtests.test(query=query):
                refusal(await alice.get(f"{LISTS}?{query}"), 422, "validation_error", query.partition("=")[0])

    async def test_the_etag_of_the_lists_changes_with_every_write(self, alice, make_list):
        seen = []
        for write in (make_list(alice), alice.make(), alice.patch(f"{LISTS}/1", json={"name": "B"}), make_list(alice)):
            await write
            response = await alice.get(LISTS)
            known = await alice.get(LISTS, headers={"If-None-Match": response.headers["etag"]})
            assert (known.status_code, known.headers["etag"]) == (304, response.headers["etag"])
            seen.append(response.headers["etag"])
        assert len(set(seen)) == 4
        assert (await alice.get(f"{LISTS}?archived=true")).headers["etag"] not in seen

    async def test_lists_of_other_users_are_not_listed(self, alice, bob, make_list):
        await make_list(bob)
        assert await named(alice) == []


class TestChange:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_only_the_sent_fields_change(self, alice, make_list, method):
        made = await make_list(alice, "Garden", color="#2e7d32")
        response = await alice.request(method, f"{LISTS}/{made['id']}", json={"name": " Balcony "})
        changed = response.json()
        assert response.status_code == 200
        assert changed == {**made, "name": "Balcony", "updated_at": changed["updated_at"], "version": 2}
        assert changed["updated_at"] > made["updated_at"]
        assert response.headers["etag"] == f'"2.{made["uid"][-8:]}"'
        cleared = (await alice.request(method, f"{LISTS}/{made['uid']}", json={"color": None, "archived": True})).json()
        assert (cleared["name"], cleared["color"], cleared["archived"]) == ("Balcony", None, True)

    async def test_a_change_that_changes_nothing_keeps_the_version(self, alice, make_list, subtests):
        made = await make_list(alice, "Garden", color="#2e7d32")
        for sent in [
            {}, {"name": "Garden"}, {"color": "#2E7D32", "archived": False}, {"position": None}, {"version": 9},
        ]:  # fmt: skip
            with subtests.test(sent=sent):
                response = await alice.patch(f"{LISTS}/{made['id']}", json=sent)
                assert (response.status_code, response.json()) == (200, made)

    async def test_a_list_as_it_was_read_may_be_sent_back(self, alice, make_list):
        made = await make_list(alice)
        assert (await alice.put(f"{LISTS}/{made['id']}", json=made)).json() == made

    async def test_an_invalid_change_is_refused(self, alice, refusal, make_list, subtests):
        made = await make_list(alice)
        for sent, field in [
            ({"name": " "}, "name"), ({"color": "red"}, "color"), ({"archived": None}, "archived"),
            ({"if_version": 0}, "if_version"), ({"if_version": "1"}, "if_version"), ({"title": "A"}, "title"),
        ]:  # fmt: skip
            with subtests.test(sent=sent):
                refusal(await alice.patch(f"{LISTS}/{made['id']}", json=sent), 422, "validation_error", field)

    async def test_a_merge_patch_is_accepted(self, alice, make_list):
        made = await make_list(alice)
        response = await alice.patch(
            f"{LISTS}/{made['id']}", content=b'{"name": "B"}', headers={"Content-Type": "application/merge-patch+json"}
        )
        assert (response.status_code, response.json()["name"]) == (200, "B")

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    async def test_a_write_at_another_version_is_refused_with_the_current_list(
        self, alice, refusal, make_list, method
    ):  # fmt: skip
        made = await make_list(alice)
        path = f"{LISTS}/{made['id']}"
        current = (await alice.patch(path, json={"name": "B"})).json()
        field = {"name": "C"} if method == "PATCH" else {}
        for options in (
            {"json": field, "headers": {"If-Match": f'"1.{made["uid"][-8:]}"'}},
            {"json": {**field, "if_version": 1}},
            {"json": field, "headers": {"If-None-Match": "*"}},
            {"json": {**field, "if_version": 2}, "headers": {"If-Match": '"1"'}},
        ):
            body = refusal(await alice.request(method, path, **options), 412, "version_mismatch")
            assert body["current"] == current
            assert "list" in body["detail"]
            assert "task" not in body["detail"]
        fitting = {"If-Match": f'"2.{made["uid"][-8:]}"'}
        response = await alice.request(method, path, json={**field, "if_version": 2}, headers=fitting)
        assert response.status_code == (200 if method == "PATCH" else 204)

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
    async def test_a_list_that_is_not_there_is_404(self, alice, refusal, method):
        for name in ("7", UID):
            refusal(await alice.request(method, f"{LISTS}/{name}", json={}), 404, "list_not_found")

    async def test_concurrent_changes_of_different_fields_are_all_kept(self, alice, make_list):
        made = await make_list(alice)
        fields = [{"name": "B"}, {"color": "#000000"}, {"archived": True}, {"after": None}]
        answers = await asyncio.gather(*(alice.patch(f"{LISTS}/{made['id']}", json=sent) for sent in fields))
        assert {answer.status_code for answer in answers} == {200}
        last = (await alice.get(f"{LISTS}/{made['id']}")).json()
        assert (last["name"], last["color"], last["archived"]) == ("B", "#000000", True)


class TestOrder:
    async def test_new_lists_come_first(self, alice, make_list):
        for name in "ABC":
            await make_list(alice, name)
        assert await named(alice) == ["C", "B", "A"]

    async def test_a_list_is_created_and_moved_by_its_neighbours_or_to_an_end(self, alice, make_list):
        a = await make_list(alice, "A")
        await make_list(alice, "B", after=a["id"])
        await make_list(alice, "C", after=None)
        await make_list(alice, "D", before=a["uid"])
        assert await named(alice) == ["D", "A", "B", "C"]
        for sent, order in (
            ({"after": None}, "DBCA"), ({"before": None}, "ADBC"), ({"position": f"{'z' * 27}1"}, "DBCA"),
        ):  # fmt: skip
            response = await alice.patch(f"{LISTS}/{a['id']}", json=sent)
            assert response.status_code == 200, response.text
            assert await named(alice) == list(order)

    async def test_a_move_changes_no_other_list(self, alice, make_list):
        made = [await make_list(alice, name) for name in "ABC"]
        await alice.patch(f"{LISTS}/{made[0]['id']}", json={"before": made[2]["id"]})
        after = {one["name"]: one for one in (await alice.get(LISTS)).json()}
        assert list(after) == ["A", "C", "B"]
        assert [after["B"], after["C"]] == made[1:]

    async def test_a_place_that_does_not_exist_is_refused(self, alice, refusal, make_list, subtests):
        made = await make_list(alice)
        for sent, field in [
            ({"after": 99}, "after"),
            ({"before": UID}, "before"),
            ({"after": "x"}, "after"),
            ({"before": 0}, "before"),
            ({"position": ""}, "position"),
            ({"position": "a" * 101}, "position"),
            ({"after": None, "before": None}, "before"),
            ({"position": "a0", "after": None}, "after"),
        ]:
            with subtests.test(sent=sent, field=field):
                refusal(await alice.patch(f"{LISTS}/{made['id']}", json=sent), 422, "validation_error", field)
                refusal(await alice.post(LISTS, json={"name": "B", **sent}), 422, "validation_error", field)
                assert len((await alice.get(LISTS)).json()) == 1

    async def test_a_list_has_no_place_beside_itself_or_the_list_of_another_user(
        self, alice, bob, refusal, make_list
    ):  # fmt: skip
        made, theirs = await make_list(alice), await make_list(bob, uid=UID)
        for neighbour in (made["id"], made["uid"], theirs["uid"]):
            response = await alice.patch(f"{LISTS}/{made['id']}", json={"after": neighbour})
            body = refusal(response, 422, "validation_error", "after")
            assert "names no list of yours" in body["detail"]
