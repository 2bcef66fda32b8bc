"""Each route that writes a text makes it searchable in every spelling."""

from __future__ import annotations

import pytest

from service.web.text import fold

TITLE, DESCRIPTION, TAG = "Σίσυφος in der Straße", "ﬁx the Å", "Äpfel"
TEXT = {"title": TITLE, "description": DESCRIPTION, "tags": [TAG]}
OTHER = {"title": "Other", "description": "-", "tags": ["x"]}


async def finds(caller, expected: int) -> None:
    """Check that each filter, in other spellings than the text, finds the one task or nothing."""
    for query in (
        {"q": "ΣΊΣΥΦΟΣ IN"}, {"q": "strasse"}, {"q": "FIX"}, {"q": "\u212b"}, {"q": "A\u030a"}, {"tag": "äPFEL"},
        {"tag": "A\u0308pfel"}, {"tag": ["äpfel", "ÄPFEL"], "q": "fix"},
    ):  # fmt: skip
        response = await caller.get(caller.path, params=query)
        assert response.status_code == 200, response.text
        assert len(response.json()) == expected, query


async def create(caller) -> None:
    assert (await caller.post(caller.path, json=TEXT)).status_code == 201


async def change(caller, method: str) -> None:
    task = await caller.make(**OTHER)
    assert (await caller.request(method, f"{caller.path}/{task['id']}", json=TEXT)).status_code == 200


async def patch(caller) -> None:
    await change(caller, "PATCH")


async def put(caller) -> None:
    await change(caller, "PUT")


async def create_many(caller) -> None:
    operations = [{"op": "create", "task": TEXT}, {"op": "create", "task": {"title": "Without tags"}}]
    assert (await caller.post(f"{caller.path}/batch", json={"operations": operations})).status_code == 200


async def update_many(caller) -> None:
    task = await caller.make(**OTHER)
    operations = [{"op": "update", "id": task["id"], "changes": {name: value}} for name, value in TEXT.items()]
    assert (await caller.post(f"{caller.path}/batch", json={"operations": operations})).status_code == 200


async def bring_in(caller) -> None:
    response = await caller.post("/api/me/import", json={"tasks": [TEXT, {"title": "Without tags"}]})
    assert response.json() == {"imported": 2, "skipped": 0}


async def bring_in_a_table(caller) -> None:
    table = f'title,description,tags\n{TITLE},{DESCRIPTION},"[""{TAG}""]"\nWithout tags,,\n'
    response = await caller.post("/api/me/import", content=table.encode(), headers={"Content-Type": "text/csv"})
    assert response.json() == {"imported": 2, "skipped": 0}


async def restore(caller) -> None:
    task = await caller.make(**TEXT)
    assert (await caller.delete(f"{caller.path}/{task['id']}")).status_code == 204
    await finds(caller, 0)
    assert (await caller.post(f"/api/me/trash/{task['id']}/restore")).status_code == 200


@pytest.mark.parametrize(
    "write",
    [create, patch, put, create_many, update_many, bring_in, bring_in_a_table, restore],
    ids=lambda write: write.__name__,
)
async def test_a_text_is_found_in_any_spelling_until_it_changes(alice, write):
    await write(alice)
    await finds(alice, 1)
    tasks = (await alice.get(alice.path, params={"tag": TAG})).json()
    response = await alice.patch(f"{alice.path}/{tasks[0]['id']}", json=OTHER)
    assert response.status_code == 200
    await finds(alice, 0)


async def test_tags_that_are_the_same_are_folded_and_found_by_each_spelling(alice):
    task = await alice.make("A", tags=["Straße", "STRASSE", "ﬁx", "fix", "caf\u00e9", "cafe\u0301"])
    assert task["tags"] == ["Straße", "ﬁx", "caf\u00e9"]
    for tag in ("STRASSE", "straße", "fix", "FIX", "ﬁx", "CAFÉ", "cafe\u0301"):
        response = await alice.get(alice.path, params={"tag": tag})
        assert response.status_code == 200
        assert [task["id"] for task in response.json()] == [task["id"]], tag


async def test_a_query_in_another_spelling_returns_the_same_list(alice):
    await alice.make("A", tags=["Straße", "b"])
    await alice.make("B", tags=["Straße", "b"])
    one = await alice.get(alice.path, params={"tag": ["Straße", "b"], "q": "", "limit": 1})
    other = await alice.get(alice.path, params={"tag": ["B", "STRASSE"], "limit": 1})
    assert one.headers["etag"] == other.headers["etag"]
    cursor = one.links["next"]["url"].partition("cursor=")[2]
    following = await alice.get(alice.path, params={"tag": ["b", "strasse"], "limit": 1, "cursor": cursor})
    assert following.status_code == 200
    assert [task["title"] for task in following.json()] == ["A"]


async def test_pages_by_title_support_the_longest_keys(alice):
    titles = ["\U0001d160" * 200, "ΐ" * 200, "ﬃ" * 200, "".join(map(chr, range(0xAC00, 0xAC00 + 200)))]
    for title in titles:
        await alice.make(title)
    found, url = [], f"{alice.path}?sort=title&limit=1"
    while url:
        response = await alice.get(url)
        assert response.status_code == 200, response.text
        found += [task["title"] for task in response.json()]
        url = response.links.get("next", {}).get("url")
    assert found == sorted(titles, key=fold)
