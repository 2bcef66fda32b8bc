"""The managers fail closed: a query that does not name its owner raises an error."""

from __future__ import annotations

import importlib
import inspect

import pytest
from tortoise import Tortoise
from tortoise.models import Model

from service import database
from service.database.scoping import OwnedModel, ScopedManager, UnscopedQueryError
from service.idempotency.models import IdempotencyKey
from service.lists.models import List
from service.tasks.models import Task
from service.users.models import User

MODELS = [
    model
    for name in database.MODELS
    for _, model in inspect.getmembers(importlib.import_module(name), inspect.isclass)
    if issubclass(model, Model) and model.__module__ == name
]

# Every way to the database that Tortoise gives a model's class. A new way in a later version of Tortoise fails the
# test below until it is in one of these two sets.
ENTRIES = {
    "all": (), "annotate": (), "bulk_create": ([],), "bulk_update": ([], ["title"]), "create": (), "earliest": ("id",),
    "exclude": (), "exists": (), "filter": (), "first": (), "get": (), "get_or_create": (),
    "get_or_none": (), "in_bulk": ([1], "id"), "last": (), "latest": ("id",), "raw": ("SELECT 1",),
    "select_for_update": (), "select_related": (), "prefetch_related": (), "update_or_create": (), "only": ("id",),
    "values": (), "values_list": (), "count": (), "delete": (), "update": (),
}  # fmt: skip
# `fetch_for_list` does nothing without a relation; with one it is in the second set.
HARMLESS = {
    "fetch_for_list",
    "clone",
    "construct",
    "describe",
    "register_listener",
    "update_from_dict",
    "get_table",
    "check",
}


async def settle(result: object) -> None:
    """Run the result of an entry, if it can be run."""
    if inspect.isawaitable(result):
        await result
    elif hasattr(result, "__aiter__"):
        async for _ in result:
            pass


def row(model: type[Model]) -> Model:
    """An instance as Tortoise creates it from a row."""
    keys = {
        Task: {"id": 1, "user_id": "alice"},
        List: {"id": 1, "user_id": "alice"},
        User: {"id": "alice"},
        IdempotencyKey: {"key": "k", "user_id": "alice"},
    }
    made = model(**keys[model])
    made._saved_in_db = True
    return made


def test_these_are_all_the_models():
    assert set(MODELS) == {IdempotencyKey, List, Task, User}
    assert all(issubclass(model, OwnedModel) for model in MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_each_model_has_its_own_scoped_manager_in_its_own_meta(model):
    manager = vars(vars(model)["Meta"])["manager"]
    assert isinstance(manager, ScopedManager)
    assert model._meta.manager is manager
    assert manager._model is model
    assert isinstance(model.objects, ScopedManager)
    assert model.objects._model is model
    assert len({id(other._meta.manager) for other in MODELS}) == len(MODELS)


@pytest.mark.parametrize("model", MODELS)
async def test_every_unscoped_entry_raises_before_a_table_is_named(server, statements, model):
    entries = {
        name
        for name, _ in inspect.getmembers(model, callable)
        if not name.startswith("_") and inspect.ismethod(getattr(model, name))
    }
    assert entries - HARMLESS <= set(ENTRIES), "a way in that nobody has looked at"
    with statements() as seen:
        for name in sorted(entries - HARMLESS):
            with pytest.raises(UnscopedQueryError):  # noqa: PT012 - either the call raises, or its result does
                await settle(getattr(model, name)(*ENTRIES[name]))
                pytest.fail(name)
    assert {statement for statement, _ in seen} <= {"BEGIN;", "ROLLBACK;"}  # about the query that was not run


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["save", "delete", "refresh_from_db"])
async def test_an_instance_can_neither_be_written_nor_read_again(server, statements, model, name):
    with statements() as seen, pytest.raises(UnscopedQueryError):
        await getattr(row(model), name)()
    assert seen == []


@pytest.mark.parametrize(
    "entry",
    [
        lambda: row(User).tasks.all(),
        lambda: row(User).tasks.filter(id=1),
        lambda: row(User).tasks,
        lambda: row(User).fetch_related("tasks"),
        lambda: User.fetch_for_list([row(User)], "tasks"),
        lambda: row(Task).user,
        lambda: row(Task).fetch_related("user"),
        lambda: Task.fetch_for_list([row(Task)], "user"),
        lambda: User.all().prefetch_related("tasks"),
        lambda: Task.objects.all(),
        lambda: Task.objects.filter(id=1),
        lambda: Task.objects.get_queryset(),
        lambda: User.objects.first(),
        lambda: Task._meta.basequery and Task._meta.manager.get_queryset(),
    ],
)
async def test_no_relation_and_no_manager_bypasses_the_scope(server, statements, entry):
    with statements() as seen, pytest.raises(UnscopedQueryError):
        await settle(entry())
    assert seen == []


def test_the_error_says_what_to_do():
    assert ".for_user(" in UnscopedQueryError().detail


async def test_a_query_that_names_its_owner_starts_with_it(pool, alice, bob):
    mine, _ = await alice.make("Mine"), await bob.make("Theirs")
    query = Task.objects.for_user("alice", using=pool)
    assert [task.id for task in await query] == [mine["id"]]
    assert [task.title for task in await query.filter(title__contains="e")] == ["Mine"]
    assert await Task.objects.for_user("nobody", using=pool).count() == 0


async def test_the_one_escape_has_a_loud_name(alice, bob):
    await alice.make()
    await bob.make()
    assert await Task.objects.across_all_users().count() == 2
    assert await User.objects.across_all_users().count() == 2


async def test_the_models_are_those_that_the_connection_knows(server):
    assert set(Tortoise.apps["service"].values()) >= set(MODELS)
