"""Transactions: run several statements on one connection, all or none."""

from __future__ import annotations

import contextlib
from types import TracebackType

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContextPooled
from tortoise.connection import get_connections

from service.errors import DoableError


class MissingRowError(DoableError):
    """A statement that always returns a row returned none. This is always a bug of the service."""

    detail = "A statement that always returns a row returned none."


class Session:
    """A connection in a transaction, with the methods that the managers need."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, connection: asyncpg.Connection, pool: AsyncpgDBClient | None = None) -> None:
        """Run statements on `connection`. `orm` works only if `pool`, which has lent the connection, is given."""
        self._connection = connection
        self._pool = pool

    @property
    def orm(self) -> TransactionWrapper:
        """Tortoise's client for this connection."""
        assert self._pool is not None  # noqa: S101 - only transactions of a pool run Tortoise's querysets
        client = TransactionWrapper(self._pool)
        client._connection = self._connection  # noqa: SLF001 - where Tortoise's own transaction puts it
        return client

    async def call(self, statement: str, *arguments: object) -> asyncpg.Record:
        """Run a statement, and return its row. Raises MissingRowError if there is none."""
        row = await self._connection.fetchrow(statement, *arguments)
        if row is None:
            raise MissingRowError
        return row

    fetch_one = call  # no retry, because a transaction ends with its connection

    async def fetch_first(self, statement: str, *arguments: object) -> asyncpg.Record | None:
        """Run a read, and return its first row, or None if there is none."""
        return await self._connection.fetchrow(statement, *arguments)

    async def fetch_rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a read, and return all its rows."""
        rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments)
        return rows


class FairTransaction(TransactionContextPooled):
    """Tortoise's transaction on a connection that is borrowed fairly and always returned.

    Tortoise's own class takes a connection from asyncpg's pool directly, without a time limit. If BEGIN is cancelled,
    it loses the connection, and the broken transaction stays in a context that later requests share.
    """

    async def __aenter__(self) -> TransactionalDBClient:
        """Borrow a connection, and begin. Raises UnavailableError if the wait exceeds its limit."""
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
        """Commit, or roll back after an error, and return the connection."""
        get_connections().reset(self.token)
        try:
            if kind is None and not self.client._finalized:  # noqa: SLF001 - as in the method that this replaces
                await self.client.commit()
        except BaseException as failed:
            kind, error, traceback = type(failed), failed, failed.__traceback__
            raise
        finally:
            if kind is not None and not self.client._finalized:  # noqa: SLF001 - as in the method that this replaces
                with contextlib.suppress(Exception):  # asyncpg closes a connection that cannot roll back
                    await self.client.rollback()
            await self._lease.__aexit__(kind, error, traceback)
