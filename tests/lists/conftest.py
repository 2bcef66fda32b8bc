"""The lists of a user, for the tests of their routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

LISTS = "/api/me/lists"
COUNTED = """
SELECT list_count, task_count, trash_count,
       (SELECT count(*) FROM lists WHERE user_id = users.id AND deleted_at IS NULL) AS lists,
       (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NULL) AS tasks,
       (SELECT count(*) FROM tasks WHERE user_id = users.id AND deleted_at IS NOT NULL)
       + (SELECT count(*) FROM lists WHERE user_id = users.id AND deleted_at IS NOT NULL) AS trash
FROM users WHERE id = 'alice'
"""


@pytest.fixture(scope="session")
def make_list() -> Callable[..., Awaitable[dict]]:
    """`await make_list(alice, "Garden", color="#2e7d32")` creates a list and returns it."""

    async def make(caller, name: str = "A list", **fields: object) -> dict:
        response = await caller.post(LISTS, json={"name": name, **fields})
        assert response.status_code == 201, response.text
        return response.json()

    return make


@pytest.fixture
async def counted(connection):
    """Return a function that counts alice's live lists, live tasks and trash, and checks the counts in her row."""

    async def count() -> tuple[int, int, int]:
        row = await connection.fetchrow(COUNTED)
        assert (row["list_count"], row["task_count"], row["trash_count"]) == (row["lists"], row["tasks"], row["trash"])
        return row["lists"], row["tasks"], row["trash"]

    return count
