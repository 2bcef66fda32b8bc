"""Transactions: several statements of one connection that are done together or not at all."""

from __future__ import annotations

import contextlib
from types import TracebackType

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContextPooled
from tortoise.connection import get_connections

from service.errors import MissingRowError


class Session:
    """One connection inside a transaction, spoken to in the words of the managers."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, connection: asyncpg.Connection, pool: AsyncpgDBClient | None = None) -> None:
        """Run statements over `connection`, which `pool` has lent; without one there is no `orm`."""
        self._connection = connection
        self._pool = pool

    @property
    def orm(self) -> TransactionWrapper:
        """Tortoise's client over this connection."""
        assert self._pool is not None  # noqa: S101 - transactions of a pool alone run querysets of Tortoise
        client = TransactionWrapper(self._pool)
        client._connection = self._connection  # noqa: SLF001 - where Tortoise's own transaction puts it
        return client

    async def call(self, statement: str, *arguments: object) -> asyncpg.Record:
        """Run a statement and return its row. Raises MissingRowError when there is none."""
        row = await self._connection.fetchrow(statement, *arguments)
        if row is None:
            raise MissingRowError
        return row

    fetch_one = call  # a transaction that lost its connection is over, so no read is run twice

    async def fetch_first(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        """Run a read and return its first row, None if there is none."""
        return await self._connection.fetchrow(statement, *arguments)

    async def fetch_rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a read and return all its rows."""
        rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments)
        return rows


class FairTransaction(TransactionContextPooled):
    """Tortoise's own transaction, over a connection that was lent in turn and is always given back.

    Tortoise's takes one from asyncpg's pool, past the hand-over, without a limit in time, and loses it when BEGIN is
    cancelled; the broken transaction then stays in a context that the requests of a connection share.
    """

    async def __aenter__(self) -> TransactionalDBClient:
        """Borrow a connection and begin. Raises UnavailableError when no turn comes in time."""
        self._lease = self.client._parent.acquire_connection()  # noqa: SLF001 - Tortoise's own way to the client
        self.client._connection = await self._lease.__aenter__()  # noqa: SLF001 - as in the method that this replaces
        try:
            await self.client.begin()
        except BaseException as error:
            await self._lease.__aexit__(type(error), error, error.__traceback__)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit, or roll back after an error, and give the connection back."""
        get_connections().reset(self.token)
        try:
            if kind is None and not self.client._finalized:  # noqa: SLF001 - as in the method that this replaces
                await self.client.commit()
        except BaseException as failed:
            kind, error, traceback = type(failed), failed, failed.__traceback__
            raise
        finally:
            if kind is not None and not self.client._finalized:  # noqa: SLF001 - as in the method that this replaces
                with contextlib.suppress(Exception):  # a connection that cannot even do that is ended by asyncpg
                    await self.client.rollback()
            await self._lease.__aexit__(kind, error, traceback)
