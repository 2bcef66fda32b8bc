"""The service's Tortoise client for asyncpg. It lends connections fairly, limits waits, and translates errors."""

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
from service.database.transactions import FairTransaction, MissingRowError, Session
from service.errors import UnavailableError
from service.telemetry import figures


async def _keep_session(_connection: asyncpg.Connection) -> None:
    """Replace asyncpg's reset query by nothing.

    The query is a second round trip at each release, and resets settings that this service never changes. A read takes
    450 µs with it and 198 µs without it.
    """


def unsupported_encoding(connection: asyncpg.Connection) -> str:
    """Return an error text if the database's encoding is not UTF8, otherwise an empty text.

    Other encodings cannot store some titles, and SQL_ASCII would store invalid text.
    """
    # A pooler may not pass the encoding on. Then it is assumed to be UTF8.
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")
    if encoding == "UTF8":
        return ""
    return (
        f"The database's encoding is {encoding}, and must be UTF8. Create a new database with CREATE DATABASE name "
        "ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it."
    )


class Lease:
    """A context manager (`async with`) that borrows a connection."""

    __slots__ = ("_client", "_connection", "_handover", "_owner")

    def __init__(self, client: FairClient, owner: Owner) -> None:
        """Prepare to borrow from `client`, within the share of `owner`."""
        self._client = client
        self._owner = owner

    async def __aenter__(self) -> asyncpg.Connection:
        """Wait for a connection. Raises UnavailableError if the wait exceeds its limit."""
        self._handover = self._client.handover or await self._client.open_handover()
        self._connection = self._handover.take_now(self._owner) or await self._handover.take(self._owner)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Return the connection, also if the request was cancelled."""
        give = self._handover.give_back if kind is None else self._handover.give_up
        give(self._connection, self._owner)


class FairClient(AsyncpgDBClient):
    """Lends connections fairly among owners, and raises the service's own errors."""

    handover_class = Handover

    def __init__(self, *, acquire_timeout: float = 5.0, **credentials: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Create the client with asyncpg's keyword arguments. `acquire_timeout` is in seconds."""
        super().__init__(**credentials)
        self.extra.setdefault("reset", _keep_session)
        self.acquire_timeout = acquire_timeout
        self.handover: Handover | None = None

    async def open(self) -> asyncpg.Pool:
        """Open the pool at its first use. This opens no connection yet."""
        async with self._pool_init_lock:
            if self._pool is None:
                await self.create_connection(with_db=True)
                self.handover = self.handover_class(self._pool, self.pool_maxsize, self.acquire_timeout)
        assert self._pool is not None  # noqa: S101 - create_connection sets it or raises
        return self._pool

    async def open_handover(self) -> Handover:
        """Open the pool if necessary, and return the object that lends its connections."""
        await self.open()
        assert self.handover is not None  # noqa: S101 - `open` creates it with the pool
        return self.handover

    async def close(self) -> None:
        """Close all connections."""
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
        """Run a statement that may write, once, and return its row.

        Raises UnavailableError if the database cannot answer. If the connection broke, the statement may have been
        executed. Raises MissingRowError if there is no row.
        """
        row = await self._run("fetchrow", statement, arguments)
        if row is None:
            raise MissingRowError
        return row

    async def fetch_one(self, statement: str, *arguments: object) -> asyncpg.Record:
        """Run a read that always returns a row, as `fetch_first` does. Raises MissingRowError if there is none."""
        row = await self._read("fetchrow", statement, arguments)
        if row is None:
            raise MissingRowError
        return row

    def fetch_first(self, statement: str, *arguments: object) -> Awaitable[asyncpg.Record | None]:
        """Run a read, and return its first row, or None if there is none. Retry once if the connection was lost.

        Raises UnavailableError if the database cannot answer.
        """
        return self._read("fetchrow", statement, arguments)

    def fetch_rows(self, statement: str, *arguments: object) -> Awaitable[list[asyncpg.Record]]:
        """Run a read as `fetch_first` does, and return all its rows."""
        return self._read("fetch", statement, arguments)

    async def _read(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - as `_run`
        """Run a statement that does not write. Retry once if the connection was lost."""
        try:
            return await self._run(method, statement, arguments)
        except UnavailableError as error:
            if not is_lost(error):
                raise
        figures.database_retries += 1
        return await self._run(method, statement, arguments)

    async def _run(self, method: str, statement: str, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401 - a row or rows
        """Run one statement, once, with a method of asyncpg's connection.

        The first argument is the user's id. The connection counts for that user's share.
        """
        # The same as `Lease`, without its four calls, because every request runs this.
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
        """Return an error text if the database's encoding is not UTF8, otherwise an empty text.

        This needs a connection but no statement, because the server sends its encoding when a connection is opened.
        Raises UnavailableError if the database cannot answer.
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
        """Run the block in a transaction. Roll back if it raises or is cancelled. No request needs this.

        Raises UnavailableError if the database cannot answer.
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
        """Translate the errors of Tortoise's query methods, before Tortoise replaces them by its own."""

        async def run(*inner: Any, **named: Any) -> Any:  # noqa: ANN401 - Tortoise's own
            try:
                return await function(*inner, **named)
            except asyncpg.SyntaxOrAccessError:
                raise  # aerich needs Tortoise's own error for a missing table, which means an empty database
            except Exception as error:
                if unavailable := translate(error):
                    raise unavailable from error
                raise

        return await super()._translate_exceptions(run, *arguments, **options)


client_class = FairClient  # Tortoise looks for this name in the module of an engine
