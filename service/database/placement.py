"""The node of a Citus cluster that holds each user's rows, so that a hanging node cannot occupy the whole pool.

Citus divides a distributed table into ranges of the hash of its distribution column, and stores each range on one node.
The catalog, which every node has, contains the ranges. On a database that is not distributed there are no nodes, and
nothing is limited.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from service.database.failures import translate
from service.database.fair_queue import Owner

if TYPE_CHECKING:
    from service.database.client import FairClient

logger = logging.getLogger("doable.database")

PAUSE = 60.0  # seconds between two reads of the catalog: a rebalancing of the cluster moves ranges
FIRST = "users"  # all other tables are distributed in the same way
IS_DISTRIBUTED = "SELECT to_regclass('pg_catalog.pg_dist_placement') IS NOT NULL AND to_regclass($1) IS NOT NULL"
# The last hash of each range, and its node (Citus calls a primary and its standbys a group).
RANGES = """
SELECT shardmaxvalue::integer AS last, groupid AS node
FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
WHERE logicalrelid = $1::text::regclass AND shardmaxvalue IS NOT NULL AND shardstate = 1 ORDER BY 1
"""


class Nodes:
    """The nodes of a cluster, and the users of each node."""

    def __init__(self) -> None:
        """Start without nodes."""
        self.are_known = False
        self._lasts: list[int] = []
        self._numbers: list[int] = []
        self._find = lru_cache(maxsize=100_000)(lambda owner: self._numbers[bisect_left(self._lasts, hash_of(owner))])

    def learn(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Replace the ranges: the last hash and the node of each, in order; none if the tables are not distributed."""
        found = [*ranges]
        if len({node for _, node in found}) == 1:  # a limit would spare no other node
            found = []
        self._lasts, self._numbers = [last for last, _ in found], [node for _, node in found]
        self.are_known = self.are_known or bool(found)
        self._find.cache_clear()

    def of(self, owner: Owner) -> int | None:
        """Return the node with the rows of `owner`; None for the service itself, and if there are no nodes."""
        return self._find(owner) if owner is not None and self._lasts else None


nodes = Nodes()  # of the one database that a process uses


async def follow(client: FairClient) -> None:
    """Read the nodes of the database behind `client` once, and then every PAUSE seconds if it is distributed."""
    while True:
        try:
            async with client.acquire_connection() as connection:
                is_distributed = await connection.fetchval(IS_DISTRIBUTED, FIRST)
                ranges = await connection.fetch(RANGES, FIRST) if is_distributed else []
        except Exception as error:
            if translate(error) is None:
                raise
            logger.warning("the nodes of the cluster could not be read", exc_info=error)  # the last ones stay in use
        else:
            nodes.learn(ranges)
            if not ranges:
                return
        await asyncio.sleep(PAUSE)


def hash_of(text: str) -> int:
    """Return PostgreSQL's `hashtext(text)`, by which Citus distributes texts: a signed 32-bit number.

    The algorithm is Bob Jenkins's lookup3 (https://burtleburtle.net/bob/c/lookup3.c), as in src/common/hashfn.c of
    PostgreSQL.
    """
    data = text.encode()
    a = b = c = (0x9E3779B9 + len(data) + 3923095) & MASK
    whole = len(data) - len(data) % 12
    for start in range(0, whole, 12):
        a, b, c = _mix(
            (a + _word(data[start : start + 4])) & MASK,
            (b + _word(data[start + 4 : start + 8])) & MASK,
            (c + _word(data[start + 8 : start + 12])) & MASK,
        )
    rest = data[whole:]
    # The lowest byte of the last word is reserved for the length, which the initial value contains already.
    found = _final(
        (a + _word(rest[:4])) & MASK, (b + _word(rest[4:8])) & MASK, (c + (_word(rest[8:]) << 8)) & MASK
    )  # fmt: skip
    return found - 2**32 if found >= 2**31 else found


MASK = 2**32 - 1


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for first, second, third in ((4, 6, 8), (16, 19, 4)):
        a = (a - c & MASK) ^ _rotate(c, first)
        c = c + b & MASK
        b = (b - a & MASK) ^ _rotate(a, second)
        a = a + c & MASK
        c = (c - b & MASK) ^ _rotate(b, third)
        b = b + a & MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & MASK
    a = (a ^ c) - _rotate(c, 11) & MASK
    b = (b ^ a) - _rotate(a, 25) & MASK
    c = (c ^ b) - _rotate(b, 16) & MASK
    a = (a ^ c) - _rotate(c, 4) & MASK
    b = (b ^ a) - _rotate(a, 14) & MASK
    return (c ^ b) - _rotate(b, 24) & MASK
