"""Random writes of lists and of tasks in them, compared with a simple model of the rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

LISTS = "/api/me/lists"
TRASH = "/api/me/trash"


@dataclass
class Item:
    """A task or a list in the model. `deleted` is the number of the step that deleted it."""

    id: int
    deleted: int | None = None
    archived: bool = False
    list_id: int | None = None


@dataclass
class Model:
    """The lists in their order, and the tasks."""

    order: list[Item] = field(default_factory=list)
    gone: dict[int, Item] = field(default_factory=dict)  # lists in the trash
    tasks: dict[int, Item] = field(default_factory=dict)

    def place(self, item: Item, sent: dict) -> None:
        """Put a list where `after` or `before` says, and first if neither is sent."""
        self.order = [one for one in self.order if one is not item]
        if not sent or sent == {"before": None}:
            at = 0
        elif sent == {"after": None}:
            at = len(self.order)
        else:
            ((side, anchor),) = sent.items()
            at = [one.id for one in self.order].index(anchor) + (side == "after")
        self.order.insert(at, item)

    def live_in(self, list_id: int | None) -> list[Item]:
        return [task for task in self.tasks.values() if task.list_id == list_id and task.deleted is None]


class Walk:
    """Random writes through the API, each of which also changes the model."""

    def __init__(self, caller, seed: int):
        self.caller, self.random, self.model, self.step = caller, random.Random(seed), Model(), 0

    async def send(self, method: str, path: str, status: int, **options: object) -> dict:
        response = await self.caller.request(method, path, **options)
        assert response.status_code == status, (self.step, method, path, options, response.text)
        return response.json() if response.content else {}

    def neighbour(self, moved: Item | None = None) -> dict:
        others = [one.id for one in self.model.order if one is not moved]
        return {self.random.choice(["after", "before"]): self.random.choice([*others, None])}

    def list_or_inbox(self) -> int | None:
        return self.random.choice([*(one.id for one in self.model.order), None])

    async def create_list(self) -> None:
        sent = self.random.choice([{}, self.neighbour()])
        made = await self.send("POST", LISTS, 201, json={"name": f"List {self.step}", **sent})
        self.model.place(Item(made["id"]), sent)

    async def move_list(self) -> None:
        if self.model.order:
            one = self.random.choice(self.model.order)
            sent = self.neighbour(one)
            await self.send("PATCH", f"{LISTS}/{one.id}", 200, json=sent)
            self.model.place(one, sent)

    async def archive(self) -> None:
        if self.model.order:
            one = self.random.choice(self.model.order)
            one.archived = not one.archived
            await self.send("PATCH", f"{LISTS}/{one.id}", 200, json={"archived": one.archived})

    async def delete_list(self) -> None:
        if self.model.order:
            one = self.random.choice(self.model.order)
            inside, where = self.model.live_in(one.id), self.random.choice(["inbox", "trash"])
            if inside:
                await self.send("DELETE", f"{LISTS}/{one.id}", 422)
            await self.send("DELETE", f"{LISTS}/{one.id}?tasks={where}", 204)
            for task in inside:
                task.list_id, task.deleted = (None, None) if where == "inbox" else (one.id, self.step)
            one.deleted = self.step
            self.model.order.remove(one)
            self.model.gone[one.id] = one

    async def restore_list(self) -> None:
        if self.model.gone:
            one = self.model.gone.pop(self.random.choice([*self.model.gone]))
            await self.send("POST", f"{TRASH}/lists/{one.id}/restore", 200)
            for task in self.model.tasks.values():
                if (task.list_id, task.deleted) == (one.id, one.deleted):
                    task.deleted = None
            one.deleted = None
            names = await self.send("GET", LISTS, 200)  # it is where it was among those that are left
            known = {item.id: item for item in (*self.model.order, one)}
            self.model.order = [known[item["id"]] for item in names]

    async def destroy_list(self) -> None:
        if self.model.gone:
            one = self.model.gone.pop(self.random.choice([*self.model.gone]))
            await self.send("DELETE", f"{TRASH}/lists/{one.id}", 204)

    async def create_task(self) -> None:
        list_id = self.list_or_inbox()
        made = await self.send("POST", self.caller.path, 201, json={"title": "Task", "list_id": list_id})
        self.model.tasks[made["id"]] = Item(made["id"], list_id=list_id)

    async def move_task(self) -> None:
        if live := [task for task in self.model.tasks.values() if task.deleted is None]:
            task = self.random.choice(live)
            task.list_id = self.list_or_inbox()
            await self.send("PATCH", f"{self.caller.path}/{task.id}", 200, json={"list_id": task.list_id})

    async def delete_task(self) -> None:
        if live := [task for task in self.model.tasks.values() if task.deleted is None]:
            task = self.random.choice(live)
            await self.send("DELETE", f"{self.caller.path}/{task.id}", 204)
            task.deleted = self.step

    async def clear_tasks(self) -> None:
        within = self.random.choice([None, self.list_or_inbox(), "inbox"])
        query = "status=all" + (f"&list={within}" if within else "")
        await self.send("DELETE", f"{self.caller.path}?{query}", 200)
        archived = {one.id for one in self.model.order if one.archived}
        for task in self.model.tasks.values():
            chosen = (task.list_id or "inbox") == within if within else task.list_id not in archived
            if chosen and task.deleted is None:
                task.deleted = self.step

    async def restore_task(self) -> None:
        if gone := [task for task in self.model.tasks.values() if task.deleted is not None]:
            task = self.random.choice(gone)
            await self.send("POST", f"{TRASH}/{task.id}/restore", 200)
            task.deleted = None
            if task.list_id not in {one.id for one in self.model.order}:
                task.list_id = None

    @property
    def writes(self) -> list[Callable]:
        often = [self.create_task, self.create_list, self.delete_list, self.restore_list, self.move_task]
        return [*often, *often, self.move_list, self.archive, self.destroy_list, self.delete_task, self.restore_task,
                self.clear_tasks]  # fmt: skip

    async def compare(self) -> None:
        """Compare all that the API returns with the model."""
        model, path = self.model, self.caller.path
        lists = await self.send("GET", LISTS, 200)
        assert [(one["id"], one["archived"]) for one in lists] == [(one.id, one.archived) for one in model.order]
        assert {one["id"] for one in await self.send("GET", f"{TRASH}/lists", 200)} == set(model.gone)
        trash = {task["id"] for task in await self.send("GET", TRASH, 200)}
        assert trash == {task.id for task in model.tasks.values() if task.deleted is not None}
        seen = []
        for list_id in (*(one.id for one in model.order), None):
            inside = await self.send("GET", f"{path}?list={list_id or 'inbox'}", 200)
            assert {task["id"] for task in inside} == {task.id for task in model.live_in(list_id)}
            assert {task["list_id"] for task in inside} <= {list_id}
            seen += inside
        archived = {one.id for one in model.order if one.archived}
        shown = await self.send("GET", path, 200)
        assert {task["id"] for task in shown} == {task["id"] for task in seen if task["list_id"] not in archived}
        assert (await self.send("GET", f"{path}/summary", 200))["total"] == len(shown)
        versions = [item["version"] for item in (*seen, *lists)]
        assert len(set(versions)) == len(versions), "two items have the same version"


@pytest.mark.parametrize(
    ("seed", "steps"), [(53, 50), *(pytest.param(seed, 80, marks=pytest.mark.trial) for seed in range(2, 12))]
)
async def test_random_writes_of_lists_and_their_tasks_follow_the_rules(alice, counted, seed, steps):
    walk = Walk(alice, seed)
    for walk.step in range(steps):
        await walk.random.choice(walk.writes)()
        await walk.compare()
    assert await counted() == (
        len(walk.model.order),
        sum(task.deleted is None for task in walk.model.tasks.values()),
        len(walk.model.gone) + sum(task.deleted is not None for task in walk.model.tasks.values()),
    )
