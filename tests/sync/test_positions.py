"""Positions of all users with a stream, while a part of the database does not respond, like a Citus node that is down.

A view replaces the table `users`. It fails or hangs for one user.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.database import credentials
from service.database.client import FairClient
from service.errors import UnavailableError
from service.sync import positions as positions_module
from service.sync.changes import positions_of_several_users
from service.sync.positions import Positions
from service.tasks.models import Task
from service.users.queryset import START, SyncPosition
from service.web.text import with_keys

ANSWERS = """
CREATE FUNCTION answers(id text) RETURNS boolean LANGUAGE plpgsql COST 1000000 AS $$
BEGIN
    IF id = 'bob' THEN
        {}
    END IF;
    RETURN true;
END $$;
ALTER TABLE users RENAME TO kept_users;
CREATE VIEW users AS SELECT * FROM kept_users WHERE answers(id);
"""
BACK = """
DO $$ BEGIN
    IF to_regclass('kept_users') IS NOT NULL THEN
        DROP VIEW users;
        ALTER TABLE kept_users RENAME TO users;
        DROP FUNCTION answers(text);
    END IF;
END $$
"""
AWAY = "RAISE EXCEPTION 'failure on connection marked as essential: node:5432' USING ERRCODE = 'XX000';"
HANGS = "PERFORM pg_sleep(30);"


@pytest.fixture
async def three(pool, empty, connection) -> dict[str, SyncPosition]:
    """Alice, bob and carol, each with one task, and their positions; changes of a test to `users` are reverted."""
    for user_id in ("alice", "bob", "carol"):
        await Task.objects.for_user(user_id, using=pool).create(with_keys({"title": "A"}), quota=10)
    yield await positions_of_several_users(pool, ["alice", "bob", "carol"])
    await connection.execute(BACK)


@pytest.fixture
def positions(pool, monkeypatch) -> Positions:
    """A reader of positions over the application's database, with short timeouts."""
    monkeypatch.setattr(positions_module, "PATIENCE", 1.0)
    monkeypatch.setattr(positions_module, "PATIENCE_ALONE", 1.0)
    return Positions(pool)


@pytest.mark.parametrize("fault", [AWAY, HANGS], ids=["away", "hangs"])
@pytest.mark.one_database(reason="a view in place of a table")
async def test_users_of_responding_nodes_are_read_while_another_node_hangs(
    positions, three, connection, statements, fault
):
    everybody = ["alice", "bob", "carol", "dave"]
    answered = {"alice": three["alice"], "carol": three["carol"], "dave": START}
    assert await positions.of(everybody) == three | {"dave": START}
    await connection.execute(ANSWERS.format(fault))
    assert await positions.of(everybody) == answered, "each is asked for alone"
    with statements() as seen:
        assert await positions.of(everybody) == answered
        await asyncio.sleep(0)  # asyncpg records a statement in the next turn of the loop
    assert len([arguments for _, arguments in seen if arguments == (["alice", "carol", "dave"],)]) == 1
    await connection.execute(BACK)
    assert await positions.of(everybody) == three | {"dave": START}, "who was kept apart is tried again each time"


@pytest.mark.one_database(reason="a view in place of a table")
async def test_a_user_set_apart_who_disconnects_is_forgotten(positions, three, connection, statements):
    await connection.execute(ANSWERS.format(AWAY))
    assert await positions.of(["alice", "bob"]) == {"alice": three["alice"]}
    with statements() as seen:
        assert await positions.of(["alice"]) == {"alice": three["alice"]}
        await asyncio.sleep(0)
    assert [arguments for _, arguments in seen] == [(["alice"],)]


@pytest.fixture
async def through_relay(settings, relay) -> AsyncIterator[FairClient]:
    """A pool whose connections go through the relay."""
    await relay.open()
    client = FairClient(connection_name="default", **credentials(settings, relay.url))
    yield client
    await client.close()


@pytest.mark.one_database(reason="the relay's node")
async def test_a_complete_database_outage_sets_no_user_apart(three, relay, through_relay, statements):
    positions = Positions(through_relay)
    await relay.close()
    with pytest.raises(UnavailableError):
        await positions.of(["alice", "bob"])
    await relay.open()
    with statements() as seen:
        assert await positions.of(["alice", "bob"]) == {user: three[user] for user in ("alice", "bob")}
        await asyncio.sleep(0)
    assert [arguments for _, arguments in seen] == [(["alice", "bob"],)]
