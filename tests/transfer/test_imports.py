"""Imports of files: all tasks or none, the rules for tasks, and errors that name the line."""

from __future__ import annotations

import asyncio

import pytest

from service.transfer.formats import lines

IMPORT, EXPORT = "/api/me/import", "/api/me/export"
CSV = {"Content-Type": "text/csv"}
ASSIGNED = {"id": ..., "uid": ..., "user_id": ..., "version": ...}
WHEN = "2026-01-02T03:04:05.000006Z"


def file(*tasks: dict, **members: object) -> dict:
    return {"format": "doable-export", "version": 2, "tasks": tasks, **members}


def kept(export: dict) -> list[dict]:
    return [task | ASSIGNED for task in export["tasks"]]


async def fill(caller) -> None:
    """Tasks with values that are hard to preserve, and one in the trash."""
    await caller.make("=1+1", description='\'=and\r\nmore, "quoted"', tags=["a, b", "'=c"], due_date="2026-12-24")
    await caller.make("'@x 🌱\u2028", priority="high", due_at="2026-12-24T18:00:00.123456+01:00", completed=True)
    await caller.make("'twas\ttabbed", description="-")
    gone = await caller.make("Gone")
    await caller.delete(f"{caller.path}/{gone['id']}")


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_an_export_that_another_user_imports_is_exported_unchanged(alice, bob, form):
    await fill(alice)
    exported = await alice.get(EXPORT, params={"format": form})
    headers = {"Content-Type": exported.headers["content-type"]}
    response = await bob.post(IMPORT, content=exported.content, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"imported": 4, "skipped": 0}
    mine, theirs = (await alice.get(EXPORT)).json(), (await bob.get(EXPORT)).json()
    assert kept(mine) == kept(theirs)
    assert len(mine["tasks"]) == 4
    assert len((await bob.get(bob.path)).json()) == 3


async def test_each_task_takes_the_next_revision_in_order_and_only_live_ones_count(alice, connection):
    await alice.make()
    titles = [f"Task {number}" for number in range(5)]
    tasks = [{"title": title, **({"deleted_at": WHEN} if title == "Task 2" else {})} for title in titles]
    assert (await alice.post(IMPORT, json=file(*tasks))).status_code == 200
    rows = await connection.fetch("SELECT title, version FROM tasks WHERE user_id = 'alice' ORDER BY id")
    assert [tuple(row) for row in rows] == [("A task", 1), *zip(titles, range(2, 7), strict=True)]
    user = await connection.fetchrow("SELECT revision, task_count FROM users WHERE id = 'alice'")
    assert tuple(user) == (6, 5)
    assert (await alice.make("Next"))["version"] == 7


async def test_omitted_fields_get_defaults_and_timestamps_are_kept(alice):
    response = await alice.post(
        IMPORT, json=file({"title": " A "}, {"title": "B", "completed": True, "completed_at": WHEN, "created_at": WHEN})
    )
    assert response.json() == {"imported": 2, "skipped": 0}
    second, first = (await alice.get(alice.path)).json()
    assert {**first, "created_at": ..., "updated_at": ..., **ASSIGNED} == {
        "id": ..., "uid": ..., "user_id": ..., "title": "A", "description": None, "completed": False,
        "completed_at": None,
        "priority": "none", "tags": [], "due_date": None, "due_at": None, "list_id": None, "parent_id": None,
        "position": "U1ffffe", "created_at": ..., "updated_at": ..., "version": ...,
        "repeat": None, "series": None, "occurrence": None, "next_due": None,
    }  # fmt: skip
    assert (second["completed_at"], second["created_at"]) == (WHEN, WHEN)
    assert second["updated_at"] > "2026-01-03"


async def test_without_a_token_there_is_no_import(http, refusal, statements):
    with statements() as seen:
        refusal(await http.post("/api/alice/import", json=file({"title": "A"})), 401, "authentication_required")
        refusal(await http.get("/api/alice/export"), 401, "authentication_required")
    assert seen == []


async def test_another_user_is_refused_before_the_file_is_read(alice, bob, refusal, statements):
    with statements() as seen:
        refusal(await bob.post("/api/alice/import", content="nonsense"), 403, "forbidden")
        refusal(await bob.post("/api/alice/import", json=file({"title": "A"})), 403, "forbidden")
        refusal(await bob.get("/api/alice/export?format=nonsense"), 403, "forbidden")
    assert seen == []
    assert (await alice.get(alice.path)).json() == []


async def test_imported_tasks_belong_to_the_caller_and_not_to_the_user_in_the_file(alice, bob):
    theirs = await bob.make("Bob's")
    await alice.delete(f"{alice.path}/{(await alice.make('Before'))['id']}")
    exported = (await bob.get(EXPORT)).json()
    assert (await alice.post(IMPORT, json=exported)).json() == {"imported": 1, "skipped": 0}
    assert (await bob.get(bob.path)).json() == [theirs]
    (mine,) = (await alice.get(alice.path)).json()
    assert (mine["user_id"], mine["title"]) == ("alice", "Bob's")
    assert mine["id"] == 3
    assert mine["uid"] == theirs["uid"]


async def test_skip_ignores_existing_live_and_deleted_tasks_and_create_does_not(alice):
    await fill(alice)
    exported = (await alice.get(EXPORT)).json()
    first = exported["tasks"][0]
    told = {"title": first["title"], "created_at": first["created_at"]}
    exported["tasks"] += [{"title": "New"}, {"title": "Gone"}, told | {"title": "Other"}, told]
    response = await alice.post(IMPORT, params={"on_conflict": "skip"}, json=exported)
    assert response.json() == {"imported": 3, "skipped": 5}
    again = (await alice.get(EXPORT)).json()
    assert (await alice.post(IMPORT, params={"on_conflict": "skip"}, json=again)).json() == {
        "imported": 0, "skipped": 7
    }  # fmt: skip
    assert (await alice.get(EXPORT)).json()["user"] == again["user"]
    assert (await alice.post(IMPORT, json=again)).json() == {"imported": 7, "skipped": 0}


async def test_the_change_feed_has_each_imported_task_once_for_every_page_size(alice):
    await alice.make()
    before = (await alice.get(f"{alice.path}/changes")).json()["next"]
    tasks = [{"title": f"Task {number}"} for number in range(5)] + [{"title": "Gone", "deleted_at": WHEN}]
    await alice.post(IMPORT, json=file(*tasks))
    position, seen = before, []
    while True:
        page = (await alice.get(f"{alice.path}/changes", params={"since": position, "limit": 2})).json()
        seen += page["changes"]
        position = page["next"]
        if not page["has_more"]:
            break
    assert [change["version"] for change in seen] == [2, 3, 4, 5, 6, 7]
    listed = (await alice.get(alice.path, params={"order": "asc"})).json()
    assert seen[:5] == listed[1:]
    assert seen[5] == {"id": 7, "uid": seen[5]["uid"], "version": 7, "deleted": True}


async def test_an_import_changes_the_etag_of_a_list(alice):
    await alice.make()
    known = {"If-None-Match": (await alice.get(alice.path)).headers["etag"]}
    await alice.post(IMPORT, json=file())
    assert (await alice.get(alice.path, headers=known)).status_code == 304
    await alice.post(IMPORT, json=file({"title": "A"}))
    assert len((await alice.get(alice.path, headers=known)).json()) == 2


async def test_an_imported_deletion_time_is_never_in_the_future(alice):
    await alice.post(IMPORT, json=file({"title": "A", "deleted_at": "9999-01-01T00:00:00Z"}))
    (gone,) = (await alice.get("/api/me/trash")).json()
    assert gone["deleted_at"] == gone["created_at"]


async def test_an_empty_file_imports_nothing(alice):
    for response in (
        await alice.post(IMPORT, json=file()),
        await alice.post(IMPORT, content="title\r\n", headers=CSV),
        await alice.post(IMPORT, content="\ufefftitle\n\n", headers=CSV),
    ):
        assert (response.status_code, response.json()) == (200, {"imported": 0, "skipped": 0})
    exported = (await alice.get(EXPORT)).json()
    assert (exported["user"]["revision"], exported["tasks"]) == (0, [])


async def test_one_broken_task_of_a_document_is_named_and_nothing_is_written(alice, refusal, subtests):
    for faulty, fields in [
        ({"title": ""}, ["title"]),
        ({}, ["title"]),
        ({"title": "x" * 201}, ["title"]),
        ({"title": "B", "priority": "urgent", "tags": "home"}, ["priority", "tags"]),
        ({"title": "B", "flavour": "red"}, ["flavour"]),
        ({"title": "B", "completed": "yes"}, ["completed"]),
        ({"title": "B", "due_date": "2026-12-24", "due_at": WHEN}, ["due_at"]),
        ({"title": "B", "created_at": "2026-01-01T00:00:00"}, ["created_at"]),
        ({"title": "B", "deleted_at": "yesterday"}, ["deleted_at"]),
        ({"title": "B", "updated_at": "0001-01-01T00:00:00+10:00"}, ["updated_at"]),
        ({"title": "nul\0"}, ["title"]),
        (7, [""]),
        (None, [""]),
        ({"title": "B", "user_id": "x" * 70_000}, [""]),
    ]:
        with subtests.test(faulty=faulty, fields=fields):
            response = await alice.post(IMPORT, json=file({"title": "A"}, faulty, {"title": "C"}))
            refusal(response, 422, "validation_error", *(f"tasks[1].{name}" if name else "tasks[1]" for name in fields))
            assert (await alice.get(EXPORT)).json()["tasks"] == []


async def test_a_broken_line_of_a_table_is_named_and_nothing_is_written(alice, refusal, subtests):
    for content, fields in [
        ("title,priority\nA,low\nB,urgent\n", ["line 3: priority"]),
        ('title,description\n"A\nB",x\n,x\n', ["line 4: title"]),
        ('title,tags\nA,"[""home"', ["line 2: tags"]),
        ("title,completed\nA,ja\n", ["line 2: completed"]),
        ("title,due_date\nA,24.12.2026\nB,2026-12-24\nC,x\n", ["line 2: due_date", "line 4: due_date"]),
        ("title\nA,B\n", ["line 2"]),
        ("title,tags\nA,,B\n", ["line 2"]),
        ('title\n"A"B\n', ["line 2"]),
        ('title\n"A\n', ["line 2"]),
        ("", ["line 1"]),
        ("name\nA\n", ["line 1", "line 1"]),
        ("title,title\nA,B\n", ["line 1"]),
        ("title\nnul\0\n", ["line 2: title"]),
        (f"title\n{'x' * 140_000}\n", ["line 2"]),
    ]:
        with subtests.test(content=content, fields=fields):
            response = await alice.post(IMPORT, content=content, headers=CSV)
            refusal(response, 422, "validation_error", *fields)
            assert (await alice.get(EXPORT)).json()["tasks"] == []


async def test_a_hand_made_table_needs_only_titles_and_tolerates_spreadsheet_quirks(alice):
    content = '\ufeffCompleted,TITLE,due_date,tags\r\nTRUE,"One, two",2026-12-24,"[""home""]"\r\n\r\n,Three,,\r\n'
    response = await alice.post(IMPORT, content=content, headers={"Content-Type": "text/csv; header=present"})
    assert response.json() == {"imported": 2, "skipped": 0}
    three, one = (await alice.get(alice.path)).json()
    assert (one["title"], one["completed"], one["due_date"], one["tags"]) == ("One, two", True, "2026-12-24", ["home"])
    assert (three["title"], three["completed"], three["tags"]) == ("Three", False, [])


async def test_at_most_twenty_faults_of_a_file_are_named(alice, refusal):
    body = refusal(
        await alice.post(IMPORT, json=file(*[{"title": ""}] * 50)),
        422, "validation_error", *(f"tasks[{number}].title" for number in range(20)),
    )  # fmt: skip
    assert len(body["detail"]) < 3000


async def test_a_file_that_is_not_an_export_is_refused(alice, refusal, subtests):
    for content, status, code, fields in [
        ("{", 400, "malformed_json", []),
        ("", 400, "malformed_json", []),
        (b'"\xff"', 422, "validation_error", ["body"]),
        ("[]", 422, "validation_error", ["body"]),
        ("{}", 422, "validation_error", ["body"]),
        ('{"tasks": {}}', 422, "validation_error", ["body"]),
        ('{"tasks": ' + "[" * 200_000, 400, "malformed_json", []),
        ('{"tasks": [], "version": 3}', 422, "validation_error", ["body"]),
        ('{"tasks": [], "format": "other"}', 422, "validation_error", ["body"]),
        (r'{"tasks": [{"title": "\ud800"}]}', 400, "malformed_json", []),
        (b'{"tasks": [{"title": "\xff"}]}', 400, "malformed_json", []),
        ('{"tasks": [{"title": "A"} {"title": "B"}]}', 400, "malformed_json", []),
        ('{"tasks": [{"title": "A"},]}', 400, "malformed_json", []),
        ('{"tasks": []} x', 400, "malformed_json", []),
        ('{"tasks": [{"title": "A"}', 400, "malformed_json", []),
        ('{"tasks": [[}]}', 400, "malformed_json", []),
        ('{"tasks" []}', 400, "malformed_json", []),
        ("{tasks: []}", 400, "malformed_json", []),
        ('{"tasks": [], "tasks": []}', 422, "validation_error", ["body"]),
        ('{"tasks": [], "more": 1}', 422, "validation_error", ["body"]),
        ('{"tasks": [], "user": {x}}', 400, "malformed_json", []),
        ("nonsense", 400, "malformed_json", []),
    ]:
        with subtests.test(content=content, status=status, code=code, fields=fields):
            response = await alice.post(IMPORT, content=content, headers={"Content-Type": "application/json"})
            refusal(response, status, code, *fields)


async def test_white_space_a_byte_order_mark_and_names_in_escapes_are_json_too(alice):
    content = (
        '\ufeff \n{ "user" : null , "\\u0074asks" : [ {"title": "]}\\"[{"} , {"title": "B"} ] , "version" : 1 } \t'
    )
    response = await alice.post(IMPORT, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()) == (200, {"imported": 2, "skipped": 0})
    assert [task["title"] for task in (await alice.get(EXPORT)).json()["tasks"]] == [']}"[{', "B"]


async def test_the_error_for_truncated_json_names_the_task(alice, refusal):
    content = '{"tasks": [{"title": "A"}, {"title": nul}]}'
    response = await alice.post(IMPORT, content=content, headers={"Content-Type": "application/json"})
    assert refusal(response, 400, "malformed_json")["detail"] == "tasks[1] is not valid JSON in UTF-8."


async def test_of_two_concurrent_imports_with_skip_one_creates_the_tasks(alice, connection):
    tasks = [{"title": f"Task {number}", "created_at": WHEN} for number in range(100)]
    for _ in range(5):
        answers = await asyncio.gather(
            *(alice.post(IMPORT, params={"on_conflict": "skip"}, json=file(*tasks)) for _ in range(4))
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        assert sorted(answer.json()["imported"] for answer in answers) == [0, 0, 0, 100]
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 100
        await connection.execute("DELETE FROM users")


@pytest.mark.one_database(reason="locks")
async def test_an_import_with_skip_waits_for_a_write_of_the_same_tasks_and_sees_it(alice, connection, eventually):
    await alice.make("First")
    async with connection.transaction():
        await connection.execute(
            "WITH owner AS (UPDATE users SET revision = revision + 1, task_count = task_count + 1 WHERE id = 'alice')"
            " INSERT INTO tasks (user_id, id, uid, title_key, tag_keys, "
            "title, completed, priority, tags, created_at, updated_at, version)"
            " VALUES ('alice', 2, gen_random_uuid(), "
            "'', '{}', 'A', false, 0, '{}', $1::text::timestamptz, now(), 2)",
            WHEN,
        )
        task = {"title": "A", "created_at": WHEN}
        waiting = asyncio.create_task(alice.post(IMPORT, params={"on_conflict": "skip"}, json=file(task)))

        async def is_blocked() -> bool:
            await connection.execute("SELECT pg_stat_clear_snapshot()")  # the transaction keeps one snapshot otherwise
            return await connection.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%import_tasks%'"
            )

        await eventually(is_blocked)
    assert (await waiting).json() == {"imported": 0, "skipped": 1}
    assert [task["title"] for task in (await alice.get(EXPORT)).json()["tasks"]] == ["First", "A"]


async def test_a_table_that_is_not_utf_8_is_refused(alice, refusal):
    refusal(await alice.post(IMPORT, content=b"title\n\xff\n", headers=CSV), 400, "malformed_json")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/calendar"}, {"Content-Type": "application/merge-patch+json"}, {},
        {"Content-Type": "text/csv; charset=latin-1"}, {**CSV, "Content-Encoding": "gzip"},
    ],
)  # fmt: skip
async def test_other_media_types_are_refused(alice, refusal, headers):
    refusal(await alice.post(IMPORT, content="title\nA\n", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("query", ["on_conflict=replace", "on_conflict=Skip", "mode=skip"])
async def test_an_unknown_parameter_is_refused(alice, refusal, query):
    refusal(await alice.post(f"{IMPORT}?{query}", json=file()), 422, "validation_error", query.partition("=")[0])


async def test_the_quota_counts_only_live_tasks_and_refuses_the_whole_file(alice, connection, refusal):
    await connection.execute(
        "INSERT INTO users (id, created_at, written_at, revision, task_count) VALUES ('alice', now(), now(), 1, 9999)"
    )
    refusal(await alice.post(IMPORT, json=file({"title": "A"}, {"title": "B"})), 409, "task_quota_exceeded")
    exported = (await alice.get(EXPORT)).json()
    assert (exported["user"]["revision"], exported["tasks"]) == (1, [])
    assert (await alice.post(IMPORT, json=file({"title": "A", "deleted_at": WHEN}, {"title": "B"}))).status_code == 200
    refusal(await alice.post(IMPORT, json=file({"title": "C"})), 409, "task_quota_exceeded")
    assert (await alice.post(IMPORT, json=file({"title": "D", "deleted_at": WHEN}))).status_code == 200


async def test_one_task_more_than_a_file_may_have_is_refused(alice, refusal, monkeypatch):
    """Other tests import 10,000 tasks, which is the limit, and find it in the error."""
    monkeypatch.setattr(lines, "MAXIMUM_TASKS", 2)
    refusal(await alice.post(IMPORT, content="title\nA\nB\nC\n", headers=CSV), 422, "validation_error", "tasks")
    response = await alice.post(IMPORT, content="title\nA\nB\n", headers=CSV)
    assert response.json() == {"imported": 2, "skipped": 0}


async def test_of_two_concurrent_imports_beyond_the_quota_one_is_refused_as_a_whole(alice, connection, refusal):
    await connection.execute(
        "INSERT INTO users (id, created_at, written_at, revision, task_count) VALUES ('alice', now(), now(), 1, 9997)"
    )
    tasks = [{"title": "A"}, {"title": "B"}]
    answers = await asyncio.gather(*(alice.post(IMPORT, json=file(*tasks)) for _ in range(2)))
    taken, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert (taken.status_code, taken.json()) == (200, {"imported": 2, "skipped": 0})
    refusal(refused, 409, "task_quota_exceeded")
    assert len((await alice.get(EXPORT)).json()["tasks"]) == 2
