"""Creating, reading, changing and deleting tasks."""

from __future__ import annotations


async def test_a_created_task_is_answered_whole_with_its_location_and_etag(alice):
    response = await alice.post(alice.path, json={"title": "  Water the plants "})
    task = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/alice/tasks/{task['id']}"
    assert response.headers["etag"] == f'"{task["version"]}"'
    assert task["title"] == "Water the plants"
    assert (await alice.get(response.headers["location"])).json() == task
