"""No request to any route stores a row that breaks a rule. The API and the functions enforce rules without a CHECK."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.database.functions import DOCUMENT

# The JSON of a task, built from the columns. A Citus node cannot call `task_document` with a row of a shard.
BUILT = DOCUMENT.removeprefix("coalesce(tasks.document, ").removesuffix(")")
# Rows that break a rule of docs/reference/data-model.md, or whose JSON differs from the columns.
BROKEN = f"""
SELECT id, title FROM tasks WHERE NOT (
    char_length(title) BETWEEN 1 AND 200 AND title = btrim(title)
    AND coalesce(char_length(description) BETWEEN 1 AND 1000, true)
    AND priority BETWEEN 0 AND 3
    AND cardinality(tags) <= 20 AND cardinality(tags) = cardinality(tag_keys)
    AND NOT EXISTS (SELECT FROM unnest(tags) AS tag WHERE char_length(tag) NOT BETWEEN 1 AND 50)
    AND (description IS NULL) = (description_key IS NULL) AND title_key <> ''
    AND completed = (completed_at IS NOT NULL)
    AND NOT (due_date IS NOT NULL AND due_at IS NOT NULL)
    AND id > 0 AND version >= id
    AND CASE WHEN deleted_at IS NULL THEN document IS NOT DISTINCT FROM {BUILT} ELSE document IS NULL END
)
"""
COUNTED = """
SELECT id FROM users WHERE task_count <> (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NULL)
   OR trash_count <> (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NOT NULL)
   OR revision < (SELECT max(version) FROM tasks WHERE user_id = users.id)
"""
TEXT = st.sampled_from(
    ["", " ", "\t\n", "A", " B ", "\u200b", "t" * 200, "t" * 201, "ü" * 1000, "x" * 1001, "\0", "😀" * 50]
)
VALUES = {
    "title": TEXT,
    "description": TEXT | st.none(),
    "completed": st.booleans() | st.sampled_from([None, 1, "yes"]),
    "priority": st.sampled_from(["none", "low", "HIGH", "urgent", None, 4, -1]),
    "tags": st.lists(TEXT, max_size=4) | st.none() | st.just([f"tag {n}" for n in range(21)]),
    "due_date": st.sampled_from(["2026-12-24", "0001-01-01", "9999-12-31", "10000-01-01", "", None]),
    "due_at": st.sampled_from(["2026-12-24T18:00:00Z", "9999-12-31T23:59:59.999999Z", "now", "infinity", None]),
}
FIELDS = st.fixed_dictionaries({}, optional=VALUES)
KEPT = st.fixed_dictionaries(
    {},
    optional={
        **VALUES,
        **dict.fromkeys(
            ("completed_at", "created_at", "updated_at", "deleted_at"),
            st.sampled_from(["2020-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "-infinity", None]),
        ),
    },
)


@pytest.mark.blocks_the_loop(seconds=0.3, reason="hypothesis runs in the same loop")
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sent=FIELDS, patch=FIELDS, lines=st.lists(KEPT, min_size=1, max_size=3), completed=st.booleans())
async def test_no_request_to_any_route_stores_a_row_that_breaks_a_rule(  # noqa: PLR0913, PLR0917 - fixtures and the request
    alice, connection, sent, patch, lines, completed
):
    task = await alice.make("Whole", tags=["a"], due_date="2026-12-24", completed=completed)
    path = f"{alice.path}/{task['id']}"
    operations = [
        {"op": "create", "task": {"title": "B", **sent}},
        {"op": "update", "id": task["id"], "changes": patch},
        {"op": "complete", "id": task["id"], "completed": completed},
        {"op": "delete", "id": task["id"]},
        {"op": "restore", "id": task["id"]},
    ]
    answers = [
        await alice.post(alice.path, json={"title": "A", **sent}),
        await alice.patch(path, json=patch),
        await alice.post(f"{path}/complete"),
        *[await alice.post(f"{alice.path}/batch", json={"atomic": atomic, "operations": operations})
          for atomic in (True, False)],
        *[await alice.post("/api/me/import", json={"tasks": [{"title": "C", **line}]}) for line in lines],
        await alice.delete(path),
        await alice.post(f"/api/me/trash/{task['id']}/restore"),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 422}, [answer.text for answer in answers]
    assert await connection.fetch(BROKEN) == []
    assert await connection.fetch(COUNTED) == []


async def test_a_row_that_breaks_a_rule_would_be_noticed(alice, connection, subtests):
    await alice.make("Whole", tags=["a"])
    assert await connection.fetch(BROKEN) == []
    for change in [
        "title = ''", "title = ' A'", "description = ''", "priority = 4", "tags = '{a,b}'",
        "tags = array_fill('a'::text, ARRAY[21])", "id = 0", "document = NULL", "document = '{}'",
        "deleted_at = now()", "version = 0",
    ]:  # fmt: skip
        with subtests.test(change=change):
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(f"UPDATE tasks SET {change}")
                assert len(await connection.fetch(BROKEN)) == 1
            finally:
                await transaction.rollback()
