"""Exports and imports of repeating tasks: a series continues in another account as in the first one."""

from __future__ import annotations

import csv
import io
from random import Random
from uuid import UUID, uuid5

import pytest

IMPORT, EXPORT = "/api/me/import", "/api/me/export"
CSV = {"Content-Type": "text/csv"}
ASSIGNED = {"id", "user_id", "version", "position"}
DAILY = {"rrule": "FREQ=DAILY", "from": "schedule"}
SERIES = "0a6bd6ac-6da3-4d3d-8a1f-52b2f4b3a7c1"
PLACE = {"series": SERIES, "series_start": "2090-01-31", "occurrence": "2090-02-28", "occurrence_number": 2}
COLUMNS = ("series", "occurrence", "next_due", "series_start", "occurrence_number")
RULES = [
    {"due_date": "2090-01-31", "repeat": {"rrule": "FREQ=MONTHLY"}},
    {"due_date": "2092-02-29", "repeat": {"rrule": "FREQ=YEARLY"}},
    {"due_date": "2090-01-05", "repeat": {"rrule": "FREQ=DAILY;INTERVAL=3;COUNT=6", "timezone": "Asia/Kolkata"}},
    {"due_date": "2090-01-05", "repeat": {"rrule": "FREQ=WEEKLY;BYDAY=MO,FR;UNTIL=20900120"}},
    {"due_date": "2090-01-05", "repeat": {"rrule": "FREQ=DAILY", "from": "completion"}},
    {"due_at": "2090-03-24T02:30:00+01:00", "repeat": {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"}},
    {"due_at": "2090-10-27T02:30:00.5+02:00", "repeat": {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"}},
    {"due_at": "2090-01-31T23:00:00Z", "repeat": {"rrule": "FREQ=MONTHLY", "timezone": "Australia/Lord_Howe"}},
]


async def send(caller, *tasks: dict, conflict: str = "create"):
    return await caller.post(IMPORT, params={"on_conflict": conflict}, json={"tasks": tasks})


async def exported(caller) -> list[dict]:
    return (await caller.get(EXPORT)).json()["tasks"]


async def moved(source, target, form: str = "json") -> None:
    """Import the export of one account into another."""
    export = await source.get(EXPORT, params={"format": form})
    response = await target.post(
        IMPORT, content=export.content, headers={"Content-Type": export.headers["content-type"]}
    )
    assert response.status_code == 200, response.text


async def act(caller, task: dict, action: str, **body: object) -> dict:
    method, path = ("PATCH", "") if action == "patch" else ("POST", f"/{action}")
    response = await caller.request(method, f"{caller.path}/{task['uid']}{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def complete(caller, task: dict) -> dict:
    """Complete a task, and return its successor, or the task if it is the last one."""
    done = await act(caller, task, "complete", completed=True)
    if done["next_due"] is None:
        return done
    return (await caller.get(f"{caller.path}/{successor_of(done)}")).json()


def successor_of(task: dict) -> str:
    return str(uuid5(UUID(task["series"]), task["next_due"]))


def kept(tasks: list[dict]) -> list[dict]:
    return [{name: value for name, value in task.items() if name not in ASSIGNED} for task in tasks]


def slots(task: dict) -> tuple:
    return tuple(task.get(name) for name in ("uid", "due_date", "due_at", "repeat", *COLUMNS))


async def perform(caller, *operations: dict) -> None:
    response = await caller.post(f"{caller.path}/batch", json={"operations": operations})
    assert response.status_code == 200, response.text


async def complete_all(caller) -> list[dict]:
    """Complete all open tasks, and return all tasks of the account."""
    ids = [task["id"] for task in await exported(caller) if not task["completed"] and "deleted_at" not in task]
    await perform(caller, *({"op": "complete", "id": task_id, "completed": True} for task_id in ids))
    return await exported(caller)


async def fill(caller) -> None:
    """A series of each rule, with two completed tasks."""
    tasks = [{"title": f"Series {number}", **fields} for number, fields in enumerate(RULES)]
    await perform(caller, *({"op": "create", "task": task} for task in tasks))
    for _ in range(2):
        await complete_all(caller)


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_series_continue_in_another_account_as_in_the_first_one(alice, bob, form):
    await fill(alice)
    await moved(alice, bob, form)
    assert kept(await exported(bob)) == kept(await exported(alice))
    for _ in range(3):
        mine, theirs = await complete_all(alice), await complete_all(bob)
        assert [slots(task) for task in mine] == [slots(task) for task in theirs]
    assert len(mine) == len(RULES) * 6
    assert any(task["due_at"] == "2090-03-26T01:30:00.000000Z" for task in await exported(bob))  # the gap of the clocks
    assert {task["due_date"] for task in await exported(bob)} >= {"2090-02-28", "2090-03-31", "2090-05-31"}
    assert max(task["occurrence_number"] for task in await exported(bob) if "COUNT" in task["repeat"]["rrule"]) == 6


async def test_random_series_continue_in_another_account(alice, bob):
    random = Random(17)
    for number in range(12):
        task = await alice.make(f"Series {number}", **random.choice(RULES))
        for _ in range(random.randrange(5)):
            action = random.choice(["complete", "skip", "move", "reopen"])
            if action == "complete" and task["next_due"]:
                task = await complete(alice, task)
            elif action == "skip" and task["next_due"]:
                task = await act(alice, task, "skip")
            elif action == "move":
                task = await act(alice, task, "patch", due_date="2090-02-11", due_at=None)
            elif action == "reopen" and task["next_due"]:
                await complete(alice, task)
                task = await act(alice, task, "complete", completed=False)
    form = random.choice(["json", "csv"])
    await moved(alice, bob, form)
    assert kept(await exported(bob)) == kept(await exported(alice))
    mine, theirs = await complete_all(alice), await complete_all(bob)
    assert [slots(task) for task in mine] == [slots(task) for task in theirs]


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_after_an_import_reopening_takes_the_successor_back(alice, bob, form):
    first = await alice.make("Water", due_date="2090-01-31", repeat=DAILY)
    await complete(alice, first)
    await moved(alice, bob, form)
    opened = await act(bob, first, "complete", completed=False)
    assert (opened["completed"], opened["occurrence"]) == (False, "2090-01-31")
    assert [task["occurrence"] for task in (await bob.get(bob.path)).json()] == ["2090-01-31"]
    assert len((await bob.get("/api/me/trash")).json()) == 1


def without(*names: str):
    return lambda task: {name: value for name, value in task.items() if name not in names}


@pytest.mark.parametrize("change", ["nothing", "no uids", "the account left the series", "sorted"])
async def test_a_series_that_is_imported_twice_becomes_two_series(alice, change):
    first = await alice.make("Water", due_date="2090-01-31", repeat={"rrule": "FREQ=MONTHLY"})
    second = await act(alice, await complete(alice, first), "skip")  # the uid is that of the slot before
    file = await exported(alice)
    if change == "no uids":
        file = [without("uid")(task) for task in file]
    elif change == "sorted":
        file.reverse()
    elif change == "the account left the series":
        for task in file:
            await act(alice, task, "patch", repeat=None)
    assert (await send(alice, *file)).json() == {"imported": 2, "skipped": 0}
    copies = sorted((await exported(alice))[2:], key=lambda task: task["occurrence"])
    assert {task["series"] for task in copies} == {copies[0]["series"]} != {first["series"]}
    assert not {task["uid"] for task in copies} & {first["uid"], second["uid"]}
    assert [slots(task)[4:] for task in map(without_series, copies)] == [
        slots(task)[4:] for task in map(without_series, sorted(file, key=lambda task: task["occurrence"]))
    ]
    after = await complete(alice, copies[1])
    assert (after["due_date"], after["series"]) == ("2090-04-30", copies[0]["series"])
    if change != "the account left the series":
        other = await complete(alice, second)
        assert (other["due_date"], other["series"]) == ("2090-04-30", first["series"])


def without_series(task: dict) -> dict:
    return {"uid": None, **task, "series": None}


@pytest.mark.parametrize("step", [1, -1])
async def test_the_copy_of_a_completed_task_is_reopened_with_its_own_successor(alice, step):
    first = await alice.make("Water", due_date="2090-01-31", repeat=DAILY)
    second = await complete(alice, first)
    assert (await send(alice, *(await exported(alice))[::step])).status_code == 200
    copy, copied_successor = (await exported(alice))[2:][::step]
    assert copied_successor["uid"] == successor_of(copy)
    await act(alice, copy, "complete", completed=False)
    assert {task["uid"] for task in (await alice.get(alice.path)).json()} == {first["uid"], second["uid"], copy["uid"]}


async def test_the_copy_of_a_completed_task_is_not_reopened_if_its_own_successor_was_skipped(alice, refusal):
    await act(alice, await complete(alice, await alice.make("Water", due_date="2090-01-31", repeat=DAILY)), "skip")
    assert (await send(alice, *await exported(alice))).status_code == 200
    copy, copied_successor = (await exported(alice))[2:]
    response = await alice.post(f"{alice.path}/{copy['id']}/complete", json={"completed": False})
    assert refusal(response, 409, "successor_changed")["successor"] == copied_successor


async def test_with_skip_a_series_is_restored_and_not_copied(alice):
    first = await alice.make("Water", due_date="2090-01-31", repeat=DAILY)
    second = await complete(alice, first)
    file = await exported(alice)
    assert (await send(alice, *file, conflict="skip")).json() == {"imported": 0, "skipped": 2}
    for path in (f"{alice.path}/{first['id']}", f"/api/me/trash/{first['id']}"):
        assert (await alice.delete(path)).status_code == 204
    assert (await send(alice, *file, conflict="skip")).json() == {"imported": 1, "skipped": 1}
    assert kept([task for task in await exported(alice) if task["completed"]]) == kept(file[:1])
    await act(alice, first, "complete", completed=False)
    assert [task["uid"] for task in (await alice.get("/api/me/trash")).json()] == [second["uid"]]


async def test_a_rule_in_a_table_begins_a_new_series_at_the_due(alice, subtests):
    cells = {
        "FREQ=WEEKLY": {"rrule": "FREQ=WEEKLY", "from": "schedule"},
        '"freq=weekly; byday=mo,fr"': {"rrule": "FREQ=WEEKLY;BYDAY=MO,FR", "from": "schedule"},
        "RRULE:FREQ=WEEKLY": {"rrule": "FREQ=WEEKLY", "from": "schedule"},
        '"{""rrule"": ""FREQ=WEEKLY"", ""from"": ""completion""}"': {"rrule": "FREQ=WEEKLY", "from": "completion"},
        '"{""rrule"": ""FREQ=WEEKLY"", ""timezone"": ""europe/berlin""}"': {
            "rrule": "FREQ=WEEKLY", "from": "schedule", "timezone": "Europe/Berlin"
        },
    }  # fmt: skip
    rows = "".join(f"Water,2090-01-02,{cell}\n" for cell in cells)
    response = await alice.post(IMPORT, content=f"title,due_date,Repeat\n{rows}Once\n", headers=CSV)
    assert response.json() == {"imported": 6, "skipped": 0}
    *repeating, plain = await exported(alice)
    assert [plain.get(name) for name in ("repeat", *COLUMNS)] == [None] * 6
    assert len({UUID(task["series"]) for task in repeating}) == 5
    for (cell, repeat), task in zip(cells.items(), repeating, strict=True):
        with subtests.test(cell):
            assert (task["repeat"], task["series_start"], task["occurrence_number"]) == (repeat, "2090-01-02", 1)
            after = await complete(alice, task)
            assert (after["series"], after["occurrence_number"]) == (task["series"], 2)


async def test_a_table_shows_a_plain_rule_as_its_text_and_any_other_as_json(alice):
    await alice.make("A", due_date="2090-01-02", repeat={"rrule": "FREQ=WEEKLY"})
    await alice.make("B", due_at="2090-01-02T09:00:00Z", repeat={"rrule": "FREQ=DAILY", "timezone": "UTC"})
    await alice.make("C", due_date="2090-01-02", repeat={"rrule": "FREQ=DAILY", "from": "completion"})
    await alice.make("D")
    text = (await alice.get(EXPORT, params={"format": "csv"})).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["repeat"] for row in rows] == [
        "FREQ=WEEKLY", '{"rrule":"FREQ=DAILY","from":"schedule","timezone":"UTC"}',
        '{"rrule":"FREQ=DAILY","from":"completion"}', "",
    ]  # fmt: skip
    assert [row["occurrence"] for row in rows] == ["2090-01-02", "2090-01-02T09:00:00.000000Z", "2090-01-02", ""]
    assert [row["occurrence_number"] for row in rows] == ["1", "1", "1", ""]


async def test_without_a_rule_the_place_in_a_series_is_ignored(alice):
    assert (await send(alice, {"title": "A", **PLACE, "repeat": None}, {"title": "B", **PLACE})).status_code == 200
    for task in await exported(alice):
        assert [task.get(name) for name in ("repeat", *COLUMNS)] == [None] * 6


async def test_moments_of_a_series_may_have_any_offset_and_uuids_any_case(alice):
    zoned = DAILY | {"timezone": "Europe/Berlin"}
    place = {
        "series": SERIES.upper(), "series_start": "2090-01-05 09:00", "occurrence": "2090-01-06T09:00:00+01:00",
        "occurrence_number": 2, "next_due": "2090-01-07T09:00+01",
    }  # fmt: skip
    response = await send(alice, {"title": "A", "due_at": "2090-01-06T10:00:00+01:00", "repeat": zoned, **place})
    assert response.status_code == 200, response.text
    (task,) = await exported(alice)
    assert slots(task)[4:] == (
        SERIES, "2090-01-06T08:00:00.000000Z", "2090-01-07T08:00:00.000000Z", "2090-01-05T09:00:00", 2,
    )  # fmt: skip
    after = await complete(alice, task)
    assert (after["uid"], after["due_at"]) == (successor_of(task), "2090-01-07T08:00:00.000000Z")


DUE = {"title": "A", "due_date": "2090-02-28", "repeat": DAILY}
TIMED = DUE | PLACE | {"repeat": DAILY | {"timezone": "Asia/Tokyo"}, "series_start": "2090-01-31T09:00:00"}
FAULTS = {
    "no due": ({"title": "A", "repeat": DAILY}, "repeat", "needs a due_date or a due_at"),
    "no zone": ({"title": "A", "due_at": "2090-01-31T09:00:00Z", "repeat": DAILY}, "repeat.timezone", "is required"),
    "a bad rule": (DUE | {"repeat": {"rrule": "FREQ=HOURLY"}}, "repeat.rrule", "FREQ must be"),
    "never again": (DUE | {"repeat": {"rrule": "FREQ=DAILY;COUNT=1"}}, "repeat.rrule", "no second occurrence"),
    "completed without a series": (DUE | {"completed": True}, "repeat", "must be empty for a completed task"),
    "no UUID": (DUE | PLACE | {"series": "mine"}, "series", "must be the UUID of its series"),
    "no number": (DUE | PLACE | {"occurrence_number": None}, "occurrence_number", "is missing"),
    "number 0": (DUE | PLACE | {"occurrence_number": 0}, "occurrence_number", "must be a whole number from 1"),
    "a huge number": (DUE | PLACE | {"occurrence_number": 10**30}, "occurrence_number", "must be a whole number"),
    "no occurrence": (DUE | PLACE | {"occurrence": None}, "occurrence", "is missing"),
    "start with an offset": (TIMED | {"series_start": "2090-01-31T09:00:00Z"}, "series_start", "without an offset"),
    "start at 25:00": (TIMED | {"series_start": "2090-01-31T25:00:00"}, "series_start", "must be a day, or a time"),
    "no day": (DUE | PLACE | {"series_start": "2090-02-31"}, "series_start", "must be a calendar day"),
    "a day in a series of times": (TIMED, "occurrence", "must be a timestamp, because series_start is a time"),
    "a moment in a series of days": (DUE | PLACE | {"next_due": "2090-03-01T00:00:00Z"}, "next_due", "must be a day"),
    "a local time": (TIMED | {"occurrence": "2090-02-28T09:00:00"}, "occurrence", "has no offset"),
    "a series of times without a zone": (TIMED | {"repeat": DAILY}, "repeat.timezone", "is required"),
    "next before this one": (DUE | PLACE | {"next_due": "2090-02-28"}, "next_due", "must be later than occurrence"),
    "beside another fault": (DUE | PLACE | {"tags": "home"}, "tags", "must be a list"),
    "beyond the calendar": (TIMED | {"occurrence": "9999-12-31T23:00:00Z"}, "occurrence", "outside of the years"),
}  # fmt: skip


async def test_a_place_in_a_series_that_is_not_possible_is_refused_and_named(alice, refusal, subtests):
    for name, (task, field, message) in FAULTS.items():
        with subtests.test(name):
            problem = refusal(await send(alice, {"title": "Good"}, task), 422, "validation_error", f"tasks[1].{field}")
            assert message in problem["errors"][0]["message"]
            assert await exported(alice) == []


async def test_a_faulty_repetition_in_a_table_names_the_line_and_the_column(alice, refusal, subtests):
    for cells, field, message in [
        ("2090-02-28,FREQ=SECONDLY,,,,,", "repeat.rrule", "FREQ must be"),
        ("2090-02-28,weekly,,,,,", "repeat.rrule", "such as FREQ=WEEKLY"),
        ("2090-02-28,{no JSON,,,,,", "repeat", "must be a JSON object"),
        (f"2090-02-28,FREQ=DAILY,{SERIES},2090-02-28,,31.1.2090,2", "series_start", "format the column as text"),
        (f"2090-02-28,FREQ=DAILY,{SERIES},2090-02-28,,2090-01-31,two", "occurrence_number", "must be a whole number"),
        (f"2090-02-28,FREQ=DAILY,{SERIES},,,2090-01-31,2", "occurrence", "is missing"),
        (",FREQ=DAILY,,,,,", "repeat", "needs a due_date or a due_at"),
    ]:
        with subtests.test(cells=cells, field=field, message=message):
            content = f"title,due_date,repeat,{','.join(COLUMNS)}\nGood\nBad,{cells}\n"
            response = await alice.post(IMPORT, content=content, headers=CSV)
            problem = refusal(response, 422, "validation_error", f"line 3: {field}")
            assert message in problem["errors"][0]["message"]


async def test_in_a_table_a_rule_for_a_moment_gets_its_zone_as_json(alice, refusal):
    content = "title,due_at,repeat\nA,2090-01-05T09:00:00Z,FREQ=DAILY\n"
    response = await alice.post(IMPORT, content=content, headers=CSV)
    problem = refusal(response, 422, "validation_error", "line 2: repeat.timezone")
    assert '{"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"}' in problem["errors"][0]["message"]


async def test_a_completed_occurrence_that_an_imported_subtask_reopens_leaves_its_series(alice):
    first = await alice.make("Water", due_date="2090-01-31", repeat=DAILY)
    await complete(alice, first)
    assert (await send(alice, {"title": "Can", "parent_id": first["uid"]})).status_code == 200
    opened = (await alice.get(f"{alice.path}/{first['id']}")).json()
    assert (opened["completed"], opened["repeat"], opened["series"]) == (False, None, None)
