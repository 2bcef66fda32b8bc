"""The fail-closed manager: without an owner's name, no query starts."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Generic, NoReturn, Protocol, TypeVar, cast

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.manager import Manager
from tortoise.models import Model
from tortoise.queryset import QuerySet

from service.errors import UnscopedQueryError

M = TypeVar("M", bound=Model)


class Row(Protocol):
    """One row of an answer, read by column name."""

    def __getitem__(self, column: str) -> Any:  # noqa: ANN401 - a column holds whatever its type says
        """Give the column's value; raises KeyError for a column that was not selected."""


class Connection(Protocol):
    """Runs statements: a pool, or the session of one transaction.

    `statement` has `$n` for its arguments. Every method raises UnavailableError when the database cannot answer now.
    A pool may run a read twice, and nothing else.
    """

    async def call(self, statement: str, *arguments: object) -> Row:
        """Call a function, or run another statement that may write, and return its row.

        Raises MissingRowError when there is none.
        """

    async def fetch_one(self, statement: str, *arguments: object) -> Row:
        """Run a read that always has one row, and return it. Raises MissingRowError when there is none."""

    def fetch_first(self, statement: str, *arguments: object) -> Awaitable[Row | None]:
        """Run a read and return its first row, None if there is none."""

    def fetch_rows(self, statement: str, *arguments: object) -> Awaitable[Sequence[Row]]:
        """Run a read and return all its rows."""

    @property
    def orm(self) -> BaseDBAsyncClient:
        """Tortoise's client that runs what Tortoise's own methods make, over this connection."""


class ScopedManager(Manager, Generic[M]):
    """Raises at every entry that does not name the owner.

    It must stand as `manager` in the Meta of each model: as a mere attribute it would leave `Model.all()`, which
    asks Meta, wide open.
    """

    def get_queryset(self) -> NoReturn:
        """Raise UnscopedQueryError: `all`, `filter`, `get`, related managers and prefetches all come by here."""
        raise UnscopedQueryError

    def across_all_users(self) -> QuerySet[M]:
        """Every row of every user: for upkeep (a purge, a census) and tests, never for a request."""
        return QuerySet(self.model)

    @property
    def model(self) -> type[M]:
        """The model that this manager belongs to."""
        return cast("type[M]", self._model)


class OwnedModel(Model):
    """A model that is written through its scoped manager alone.

    Tortoise's own writers name a primary key, not an owner, so they are closed too.
    """

    class Meta:
        abstract = True

    @classmethod
    async def create(cls, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    @classmethod
    def bulk_create(cls, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    @classmethod
    def bulk_update(cls, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    @classmethod
    def raw(cls, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    async def save(self, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    async def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError

    async def refresh_from_db(self, *_args: Any, **_kwargs: Any) -> NoReturn:  # noqa: ANN401 - mirrors Tortoise
        """Raise UnscopedQueryError."""
        raise UnscopedQueryError
