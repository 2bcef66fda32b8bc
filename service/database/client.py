"""The Tortoise client for asyncpg that this service runs on: fair, bounded in time, and plain in its failures."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper

from service.database.failures import is_lost, translate
from service.database.fair_queue import Owner
from service.database.handover import Handover
from service.database.transactions import FairTransaction, Session
from service.errors import MissingRowError, UnavailableError
from service.telemetry import figures


async def _keep_session(_connection: asyncpg.Connection) -> None:
    """Stand in for asyncpg's reset query.

    That query is a second round trip at each release, and resets what we never set: 450 against 198 µs a read.
    """


def unsupported_encoding(connection: asyncpg.Connection) -> str:
    """Say what is wrong with the encoding of the database behind `connection`; empty if it is UTF8.

    In another encoding some titles could not be stored; SQL_ASCII would store bytes that are no text.
    """
    # A pooler may keep the announcement to itself; then there is nothing to judge by.
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding == "UTF8":
        return ""
    return (
        f"The database's encoding is {encoding}, and must be UTF8. Create another one with CREATE DATABASE name "
        "ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL."
    )


class Lease:
    """A connection, borrowed for the length of an `async with`."""

    __slots__ = ("_client", "_connection", "_handover", "_owner")

    def __init__(self, client: FairClient, owner: Owner) -> None:
        """Borrow from `client`, out of the share of `owner`."""
        self._client = client
        self._owner = owner

    async def __aenter__(self) -> asyncpg.Connection:
        """Wait for the turn and a connection. Raises UnavailableError when the turn does not come in time."""
        self._handover = self._client.handover or await self._client.open_handover()
        self._connection = await self._handover.take(self._owner)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Give the connection back, even when the request that held it was cancelled."""
        give = self._handover.give_back if kind is None else self._handover.give_up
        give(self._connection, self._owner)


class FairClient(AsyncpgDBClient):
    """Lends connections fairly, and speaks of failures in the domain's words."""

    handover_class = Handover

    def __init__(self, *, acquire_timeout: float = 5.0, **credentials: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Take asyncpg's keyword arguments; `acquire_timeout` is in seconds."""
        super().__init__(**credentials)
        self.extra.setdefault("reset", _keep_session)
        self.acquire_timeout = acquire_timeout
        self.handover: Handover | None = None

    async def open(self) -> asyncpg.Pool:
        """Open the pool at the first use; no connection is made yet."""
        async with self._pool_init_lock:
            if self._pool is None:
                await self.create_connection(with_db=True)
                self.handover = self.handover_class(self._pool, self.pool_maxsize, self.acquire_timeout)
        assert self._pool is not None  # noqa: S101 - create_connection sets it or raises
        return self._pool

    async def open_handover(self) -> Handover:
        """Open the pool if need be, and give what lends its connections."""
        await self.open()
        assert self.handover is not None  # noqa: S101 - it opens with the pool
        return self.handover

    async def close(self) -> None:
        """Let go of all connections."""
        if self.handover is not None:
            await self.handover.close()
            self.handover = None
        await super().close()

    @property
    def orm(self) -> FairClient:
        """Tortoise's client over this pool: the pool itself."""
        return self

    def acquire_connection(  # type: ignore[override]  # reason: Tortoise's own wrapper has no timeout and no owner
        self, owner: Owner = None
    ) -> Lease:
        """Borrow a connection: `async with client.acquire_connection(user_id) as connection`."""
        return Lease(self, owner)

    async def call(self, statement: str, *arguments: object) -> asyncpg.Record:
        """Run a statement that may write, never twice, and return its row.

        Raises UnavailableError when the database cannot answer; the statement may have been done when its connection
        broke. Raises MissingRowError when there is no row.
        """
        row = await self._run("fetchrow", statement, arguments)
        if row is None:
            raise MissingRowError
        return row

    async def fetch_one(self, statement: str, *arguments: object) -> asyncpg.Record:
        """Run a read that always has one row, as `fetch_first` does. Raises MissingRowError when there is none."""
        row = await self._read("fetchrow", statement, arguments)
        if row is None:
            raise MissingRowError
        return row

    def fetch_first(self, statement: str, *arguments: object) -> Awaitable[asyncpg.Record | None]:
        """Run a read and return its first row, None if there is none; run it once more when its connection was lost.

        Raises UnavailableError when the database cannot answer.
        """
        return self._read("fetchrow", statement, arguments)

    def fetch_rows(self, statement: str, *arguments: object) -> Awaitable[list[asyncpg.Record]]:
        """Run a read as `fetch_first` does, and return all its rows."""
        return self._read("fetch", statement, arguments)

    async def _read(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - as `_run`
        """Run a statement that changes nothing; once more when its connection was lost."""
        try:
            return await self._run(method, statement, arguments)
        except UnavailableError as error:
            if not is_lost(error):
                raise
        figures.database_retries += 1
        return await self._run(method, statement, arguments)

    async def _run(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - a row or rows
        """Run one statement by a method of asyncpg's connection, never twice.

        The connection counts against the share of the user whom the first argument names.
        """
        # What `Lease` does, without its four calls: this is the way of every request.
        owner = arguments[0] if arguments and type(arguments[0]) is str else None
        try:
            handover = self.handover or await self.open_handover()
            connection = handover.take_now(owner) or await handover.take(owner)
            try:
                found = await getattr(connection, method)(statement, *arguments)
            except BaseException:
                handover.give_up(connection, owner)
                raise
        except Exception as error:
            if unavailable := translate(error):
                raise unavailable from error
            raise
        handover.give_back(connection, owner)
        return found

    async def unsupported_encoding(self) -> str:
        """Open a connection if none is at hand; say what is wrong with the database's encoding, empty if nothing.

        The server announces its encoding when a connection is opened, so this is no statement.

        Raises UnavailableError when the database cannot answer.
        """
        try:
            async with self.acquire_connection() as connection:
                return unsupported_encoding(connection)
        except Exception as error:
            if unavailable := translate(error):
                raise unavailable from error
            raise

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Run statements together, or not at all when the block raises or is cancelled. No request needs this.

        Raises UnavailableError when the database cannot answer.
        """
        try:
            async with self.acquire_connection() as connection, connection.transaction():
                yield Session(connection, self)
        except Exception as error:
            if unavailable := translate(error):
                raise unavailable from error
            raise

    def _in_transaction(self) -> FairTransaction:
        return FairTransaction(TransactionWrapper(self), self._pool_init_lock)

    async def _translate_exceptions(  # type: ignore[override]  # reason: Tortoise annotates it as giving exceptions
        self,
        function: Callable[..., Awaitable[Any]],
        *arguments: Any,  # noqa: ANN401 - Tortoise's own
        **options: Any,  # noqa: ANN401 - Tortoise's own
    ) -> Any:  # noqa: ANN401 - Tortoise's own
        """Translate what Tortoise's query methods raise, before Tortoise gives it names of its own."""

        async def run(*inner: Any, **named: Any) -> Any:  # noqa: ANN401 - Tortoise's own
            try:
                return await function(*inner, **named)
            except asyncpg.SyntaxOrAccessError:
                raise  # aerich takes a missing table for an empty database, and must be told by Tortoise's name
            except Exception as error:
                if unavailable := translate(error):
                    raise unavailable from error
                raise

        return await super()._translate_exceptions(run, *arguments, **options)


client_class = FairClient  # the name by which Tortoise finds the client of an engine
