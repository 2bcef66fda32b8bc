"""The nodes of a cluster: the node of each user, and the share of connections and places that one node may use."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count, islice

import pytest

from service.database.placement import follow, hash_of, nodes
from service.errors import UnavailableError
from service.web.admission import Bulkhead
from tests.conftest import NODES

HALVES = [(-1, 1), (2**31 - 1, 2)]  # the users with a negative hash are on node 1
HASHES = "SELECT hashtext(text) FROM unnest($1::text[]) WITH ORDINALITY AS asked (text, place) ORDER BY place"
NODE = """
SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column('users', $1::text)
"""


@pytest.fixture
def two_nodes() -> Iterator[None]:
    """A placement on two nodes. The users are distinguished, although one PostgreSQL stores all of them."""
    nodes.learn(HALVES)
    yield
    nodes.learn([])
    nodes.are_known = False


def users_of(node: int, number: int) -> list[str]:
    """Return so many users of this node."""
    return [*islice((name for name in map("user-{}".format, count()) if nodes.of(name) == node), number)]


async def test_our_hash_of_a_text_equals_that_of_postgresql(connection):
    chance = random.Random(20261126)
    texts = [*("", "a", "alice", "auth0|1", "ü" * 127, "😀" * 63), *("x" * length for length in range(40))]
    texts += ["".join(chr(chance.randrange(1, 0xD800)) for _ in range(chance.randrange(60))) for _ in range(200)]
    assert [hash_of(text) for text in texts] == [found for (found,) in await connection.fetch(HASHES, texts)]


async def test_the_node_of_a_user_is_the_one_that_citus_names_and_without_citus_there_is_none(
    pool, connection, eventually
):
    names = [f"user-{number}" for number in range(100)]
    if NODES:
        await eventually(lambda: nodes.are_known)
        assert [nodes.of(name) for name in names] == [await connection.fetchval(NODE, name) for name in names]
    else:
        await follow(pool)
        assert {nodes.of(name) for name in names} == {None}
        assert not nodes.are_known


def test_a_statement_without_a_user_belongs_to_no_node(two_nodes):
    assert nodes.of(None) is None


@pytest.mark.one_database(reason="locks")
async def test_users_of_a_node_that_hangs_leave_half_of_the_pool_to_those_of_the_others(
    two_nodes, pool, caller, connection, eventually
):
    hanging, others = ([caller(name) for name in users_of(*asked)] for asked in ((1, 50), (2, 6)))
    for user in (*hanging, *others):
        await user.make()
    size = pool.pool_maxsize
    async with connection.transaction():
        # Their writes hang as if their node hung.
        names = [user.user_id for user in hanging]
        await connection.execute("SELECT FROM users WHERE id = ANY ($1) FOR UPDATE", names)
        stuck = [asyncio.create_task(user.post(user.path, json={"title": "Late"})) for user in hanging]
        await eventually(lambda: pool.handover.waiting == len(hanging) - size // 2)

        async def work(user) -> None:
            for _ in range(5):
                answers = await user.post(user.path, json={"title": "Now"}), await user.get(f"{user.path}?limit=5")
                assert [answer.status_code for answer in answers] == [201, 200]

        await asyncio.gather(*map(work, others))
        assert not any(task.done() for task in stuck), "or these had to wait for those"
    assert {(await task).status_code for task in stuck} == {201}, "who waited is served when the node moves again"
    assert (pool.handover.lent, pool.handover.waiting) == (0, 0)


async def test_users_of_one_node_hold_half_of_the_places_for_heavy_requests(two_nodes):
    bulkhead = Bulkhead(8, 2, wait=0.1)
    (*busy, late), others = users_of(1, 5), users_of(2, 4)
    async with AsyncExitStack() as held:
        for user in busy:
            await held.enter_async_context(bulkhead.place(user))
        with pytest.raises(UnavailableError):
            await held.enter_async_context(bulkhead.place(late))
        for user in others:
            await held.enter_async_context(bulkhead.place(user))
    async with bulkhead.place(late):
        pass


async def test_places_taken_before_the_nodes_are_known_are_freed_in_full(pool):
    try:
        async with pool.acquire_connection("alice"), pool.acquire_connection("bob"):
            nodes.learn(HALVES)
        async with pool.acquire_connection("alice"):
            nodes.learn([(-1, 2), (2**31 - 1, 1)])  # each half of the users moves to the other node
        assert (pool.handover._queue.held, +pool.handover._queue._held_by_group) == ({}, {})
    finally:
        nodes.learn([])
        nodes.are_known = False
