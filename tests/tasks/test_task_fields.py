"""The fields of a task: accepted, returned and refused values; the same in creations and changes."""

from __future__ import annotations

import json

ACCEPTED = [
    # the sent value and the returned one
    ("title", " Water\tthe\nplants \r\n", "Water\tthe\nplants"),
    ("title", "\u3000\u00a0x\u2003", "x"),
    ("title", "t" * 200, "t" * 200),
    ("title", " " + "t" * 200 + "\n", "t" * 200),
    ("title", "😀" * 200, "😀" * 200),
    ("title", "e\u0301" * 100, "e\u0301" * 100),
    ("title", "\u00e9 \ufb01 \u212b", "\u00e9 \ufb01 \u212b"),
    ("title", "👩\u200d👩\u200d👧\u200d👦 \u202eabc", "👩\u200d👩\u200d👧\u200d👦 \u202eabc"),
    ("title", "\U0010ffff\uffff\ufeff\u0001\x7f", "\U0010ffff\uffff\ufeff\u0001\x7f"),
    ("title", "'; DROP TABLE tasks; -- \\ %s $1 <b>\"", "'; DROP TABLE tasks; -- \\ %s $1 <b>\""),
    ("description", " two\n lines ", "two\n lines"),
    ("description", "", None),
    ("description", " \t\n\u00a0", None),
    ("description", None, None),
    ("description", "d" * 1000, "d" * 1000),
    ("description", "😀" * 1000, "😀" * 1000),
    ("completed", True, True),
    ("completed", False, False),
    ("priority", "none", "none"),
    ("priority", "High", "high"),
    ("priority", "MEDIUM", "medium"),
    ("title", "\u2764\ufe0f", "\u2764\ufe0f"),
    ("title", "\u200ba\u200b", "\u200ba\u200b"),
    ("title", "\u0600", "\u0600"),
    ("description", "\u200b\ufeff \u3164", None),
    ("priority", "low", "low"),
    ("priority", "medium", "medium"),
    ("priority", "high", "high"),
    ("priority", None, "none"),
    ("tags", [], []),
    ("tags", None, []),
    ("tags", [" home ", "garden"], ["home", "garden"]),
    ("tags", ["b", "A", "a", "B", "c", " b"], ["b", "A", "c"]),
    ("tags", ["Straße", "STRASSE", "É", "é"], ["Straße", "É"]),
    ("tags", ["e\u0301", "\u00e9"], ["e\u0301"]),
    ("tags", ["ﬁx", "fix", "FIX"], ["ﬁx"]),
    ("tags", [f"t{number}" for number in range(20)] + ["T0"], [f"t{number}" for number in range(20)]),
    ("tags", ["😀" * 50, "t" * 50], ["😀" * 50, "t" * 50]),
    ("tags", ['"', "{", ",", "\\", "NULL", "a b"], ['"', "{", ",", "\\", "NULL", "a b"]),
    ("due_date", "2026-12-24", "2026-12-24"),
    ("due_date", "2024-02-29", "2024-02-29"),
    ("due_date", "0001-01-01", "0001-01-01"),
    ("due_date", "9999-12-31", "9999-12-31"),
    ("due_date", None, None),
    ("due_at", "2026-12-24T18:00:00Z", "2026-12-24T18:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00:00.5Z", "2026-12-24T18:00:00.500000Z"),
    ("due_at", "2026-12-24T18:00:00.123456+01:00", "2026-12-24T17:00:00.123456Z"),
    ("due_at", "2026-12-24T18:00:00-11:30", "2026-12-25T05:30:00.000000Z"),
    ("due_at", "2026-12-24T18:00:00+14:00", "2026-12-24T04:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00:00-00:00", "2026-12-24T18:00:00.000000Z"),
    ("due_at", "2026-12-24t18:00:00z", "2026-12-24T18:00:00.000000Z"),
    ("due_at", "2026-12-24 18:00:00Z", "2026-12-24T18:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00Z", "2026-12-24T18:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00+05", "2026-12-24T13:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00:00+0530", "2026-12-24T12:30:00.000000Z"),
    ("due_at", "2026-12-24 18:00:00 +0100", "2026-12-24T17:00:00.000000Z"),
    ("due_at", "2026-12-24T18:00:00.1234567Z", "2026-12-24T18:00:00.123456Z"),
    ("due_at", "2026-12-31T23:59:59.9999999Z", "2026-12-31T23:59:59.999999Z"),
    ("due_at", "2026-12-31T23:59:59.999999999+00:00", "2026-12-31T23:59:59.999999Z"),
    ("due_at", "9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
    ("due_at", "2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
    ("due_at", "2017-01-01T00:59:60.5+01:00", "2016-12-31T23:59:59.999999Z"),
    ("due_at", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ("due_at", "0001-01-01T00:00:00-01:00", "0001-01-01T01:00:00.000000Z"),
    ("due_at", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ("due_at", None, None),
]

REFUSED = [
    ("title", [
        "\u200b", "\ufeff", "\u2060", "\u3164", "\u202e", "\u115f", "\u00ad", "\u2800", "\ufe0f",
        "\U000e0100", "\u200b \u2060", "\u0085\u001f",
        "", " ", "\u3000\n", "t" * 201, "😀" * 201, "e\u0301" * 100 + "t", "a\0b", "\0", 5, True, None, [], {},
    ]),
    ("description", ["d" * 1001, "😀" * 1001, "a\0b", "\0", 7, False, [], {}]),
    ("completed", ["yes", "true", "false", "", 0, 1, 1.0, None, [], {}]),
    ("priority", ["urgent", "medıum", "high ", "", " low", 0, 3, True, [], {}]),
    ("tags", [
        [f"t{number}" for number in range(21)], [""], ["a", "  "], ["\u200b"],
        ["a", "\u3164"], ["t" * 51], ["😀" * 51], ["a\0"], [1], [None],
        [["a"]], "a", {"a": 1}, 1, False,
    ]),
    ("due_date", [
        "2026-02-29", "2026-2-3", "24.12.2026", "20261224", "2026-12-24T00:00:00Z", " 2026-12-24", "", "0000-01-01",
        "10000-01-01", "-001-01-01", "tomorrow", "infinity", 20261224, 0, True, [], {},
    ]),
    ("due_at", [
        "2026-12-24T18:00:00", "2026-12-24", "2026-12-24T18:00", "2026-12-24T24:00:00Z", "2026-12-24T23:59:60Z",
        "2026-12-31T12:00:60Z", "2026-12-24T23:59:61Z", "2026-12-24T18Z", "2026-12-24T18:00:00+1", "2026-W52-4T18:00Z",
        "2026-12-24T18:00:00+05:60", "20261224T180000Z", "2026-12-24T18:00:00,5Z", "2026-12-24T18:00:00.Z",
        "2026-12-24  18:00:00Z", "2026-12-24 18:00:00 01:00", "٢٠٢٦-12-24T18:00:00Z",
        "2026-12-24T18:00:00." + "1" * 200 + "Z",
        "2026-02-29T00:00:00Z", "2026-12-24T18:00:00+24:00", "2026-12-24T18:00:00 Europe/Berlin", "", "now", "infinity",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999-00:01", "9999-12-31T23:59:60-01:00",
        "10000-01-01T00:00:00Z", 1798135200, 1798135200.5, True, [], {},
    ]),
]  # fmt: skip

UNKNOWN = [
    ("titel", "title"),
    ("Title", "title"),
    ("dueDate", "due_date"),
    ("due", "due_date"),
    ("deadline", "due_date"),
    ("status", "completed"),
    ("state", "completed"),
    ("done", "completed"),
    ("is_done", "completed"),
    ("is_completed", "completed"),
    ("category", "tags"),
    ("labels", "tags"),
    ("name", "title"),
    ("text", "title"),
    ("content", "title"),
    ("notes", "description"),
    ("due-date", "due_date"),
    ("dueDateTime", "due_date"),
    ("search", None),
    ("tag", "tags"),
    ("isCompleted", "completed"),
    ("userId", "user_id"),
    ("createdAt", "created_at"),
    ("xyz", None),
    ("", None),
    ("a\0b\n\"'", None),
    ("😀" * 300, None),
]


def _named(value: object) -> str:
    return json.dumps(value)[:40]


async def test_a_valid_value_is_accepted_and_returned(alice, subtests):
    operations = [{"op": "create", "task": {"title": "A task"}}] * len(ACCEPTED)
    response = await alice.post(f"{alice.path}/batch", json={"operations": operations})
    others, stored = [result["task"] for result in response.json()["results"]], {}
    for (field, sent, answered), other in zip(ACCEPTED, others, strict=True):
        with subtests.test(field=field, sent=_named(sent)):
            created = await alice.make(**{"title": "A task", field: sent})
            assert created[field] == answered
            changed = (await alice.patch(f"{alice.path}/{other['id']}", json={field: sent})).json()
            assert changed[field] == answered
            assert (await alice.patch(f"{alice.path}/{created['id']}", json={field: answered})).json() == created
            stored |= {created["id"]: created, changed["id"]: changed}
    assert {task["id"]: task for task in (await alice.get(alice.path)).json()} == stored


async def test_an_invalid_value_is_refused_with_the_name_of_the_field(alice, refusal, statements, subtests):
    task = await alice.make()
    for field, sent in [(field, value) for field, values in REFUSED for value in values]:
        with subtests.test(field=field, sent=sent):
            with statements() as seen:
                created = await alice.post(alice.path, json={"title": "A task", field: sent})
                changed = await alice.patch(f"{alice.path}/{task['id']}", json={field: sent})
            body = refusal(created, 422, "validation_error", field)
            assert body["errors"] == refusal(changed, 422, "validation_error", field)["errors"]
            assert body["errors"][0]["message"] in body["detail"]
            assert seen == []


async def test_an_unknown_field_is_refused_with_the_nearest_name_that_is_known(alice, refusal, subtests):
    task = await alice.make()
    for name, nearest in UNKNOWN:
        with subtests.test(name=name, nearest=nearest):
            shown = name if len(name) <= 40 else f"{name[:40]}…"
            for response in (
                await alice.post(alice.path, json={"title": "A task", name: None}),
                await alice.patch(f"{alice.path}/{task['id']}", json={name: None}),
            ):
                message = refusal(response, 422, "validation_error", shown)["errors"][0]["message"]
                assert ("did you mean" in message) == (nearest is not None)
                assert nearest is None or f"did you mean '{nearest}'" in message
                assert "title, description, completed, priority, tags, due_date, due_at" in message


async def test_every_fault_is_named_at_once_and_in_the_order_of_sending(alice, refusal):
    sent = {"priority": "urgent", "titel": "A", "completed": "yes", "due_at": "soon"}
    body = refusal(
        await alice.post(alice.path, json=sent), 422, "validation_error",
        "priority", "titel", "completed", "due_at", "title",
    )  # fmt: skip
    assert body["errors"][-1] == {
        "field": "title",
        "message": "is required: 1 to 200 characters after trimming white space, at least one of them visible",
    }
    sent = {"title": " ", "description": "d" * 1001, "tags": [" "]}
    refusal(await alice.post(alice.path, json=sent), 422, "validation_error", "title", "description", "tags")
    sent = {"title": " ", "due_date": "2026-12-24T00:00:00Z", "due_at": "2026-12-24", "flavour": "red"}
    refusal(
        await alice.post(alice.path, json=sent), 422, "validation_error", "title", "due_date", "due_at", "flavour"
    )  # fmt: skip


async def test_the_error_for_an_invalid_time_says_what_to_send(alice, refusal, subtests):
    for field, sent, hint in [
        ("due_date", "2026-12-24T18:00:00Z", "send it as due_at"),
        ("due_date", "2026-12-24T00:00:00.000", "send it as due_at"),
        ("due_at", "2026-12-24", "send it as due_date"),
        ("due_at", "2026-12-24T18:00:00", "has no offset"),
        ("due_at", "0001-01-01T00:00:00+00:01", "years 1 to 9999"),
        ("due_at", "2026-12-24T23:59:60Z", "leap second"),
        ("due_at", "soon", "a timestamp with its offset, such as"),
    ]:
        with subtests.test(field=field, sent=sent, hint=hint):
            for response in (
                await alice.post(alice.path, json={"title": "A task", field: sent}),
                await alice.post("/api/me/import", json={"tasks": [{"title": "A task", field: sent}]}),
            ):
                named = field if response.request.url.path.endswith("tasks") else f"tasks[0].{field}"
                assert hint in refusal(response, 422, "validation_error", named)["detail"]


async def test_of_thousands_of_faults_only_the_first_are_named(alice, refusal):
    sent = {f"t{number}": 0 for number in range(5000)}
    refusal(await alice.post(alice.path, json=sent), 422, "validation_error", *(f"t{number}" for number in range(20)))


class TestDueDateAndDueAt:
    DAY = "2026-12-24"
    MOMENT = "2026-12-24T18:00:00.000000Z"

    async def test_due_date_and_due_at_at_once_are_refused(self, alice, refusal):
        sent = {"title": "A task", "due_date": self.DAY, "due_at": self.MOMENT}
        body = refusal(await alice.post(alice.path, json=sent), 422, "validation_error", "due_at")
        assert "due_date" in body["detail"]
        task = await alice.make()
        refusal(await alice.patch(f"{alice.path}/{task['id']}", json=sent), 422, "validation_error", "due_at")

    CHANGES = (  # before, sent and after
        ((DAY, None), {"due_at": MOMENT}, (None, MOMENT)),
        ((None, MOMENT), {"due_date": DAY}, (DAY, None)),
        ((DAY, None), {"due_at": MOMENT, "due_date": None}, (None, MOMENT)),
        ((None, MOMENT), {"due_date": DAY, "due_at": None}, (DAY, None)),
        ((DAY, None), {"due_at": None}, (DAY, None)),
        ((None, MOMENT), {"due_date": None}, (None, MOMENT)),
        ((DAY, None), {"due_date": None}, (None, None)),
        ((None, MOMENT), {"due_at": None}, (None, None)),
        ((None, MOMENT), {"due_at": None, "due_date": None}, (None, None)),
        ((None, MOMENT), {"title": "B"}, (None, MOMENT)),
    )

    async def test_setting_one_due_field_clears_the_other_and_null_clears_only_its_own(self, alice, subtests):
        for before, sent, after in self.CHANGES:
            with subtests.test(before=before, sent=sent):
                task = await alice.make(due_date=before[0], due_at=before[1])
                assert (task["due_date"], task["due_at"]) == before
                changed = (await alice.patch(f"{alice.path}/{task['id']}", json=sent)).json()
                assert (changed["due_date"], changed["due_at"]) == after
                assert (changed["version"] == task["version"]) == (before == after and "title" not in sent)
