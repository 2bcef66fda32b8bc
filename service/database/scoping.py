"""Managers and models that refuse every query without an owner."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.manager import Manager
from tortoise.models import Model
from tortoise.queryset import QuerySet

from service.errors import DoableError

M = TypeVar("M", bound=Model)


class UnscopedQueryError(DoableError):
    """A query was built without an owner. This is always a bug of the service, and the query is never run."""

    detail = "Name the owner first: use .for_user(user_id)."


class Row(Protocol):
    """One row of a result. Its columns are read by name."""

    def __getitem__(self, column: str) -> Any:  # noqa: ANN401 - a column may have any type
        """Return the column's value. Raises KeyError for a column that was not selected."""


class Connection(Protocol):
    """Runs statements. It is a pool, or the session of one transaction.

    `statement` contains `$n` for its arguments. Every method raises UnavailableError if the database cannot answer. A
    pool may retry reads, but never writes.
    """

    async def call(self, statement: str, *arguments: object) -> Row:
        """Call a function, or run another statement that may write, and return its row.

        Raises MissingRowError if there is none.
        """

    async def fetch_one(self, statement: str, *arguments: object) -> Row:
        """Run a read that always returns a row, and return it. Raises MissingRowError if there is none."""

    def fetch_first(self, statement: str, *arguments: object) -> Awaitable[Row | None]:
        """Run a read, and return its first row, or None if there is none."""

    def fetch_rows(self, statement: str, *arguments: object) -> Awaitable[Sequence[Row]]:
        """Run a read, and return all its rows."""

    @property
    def orm(self) -> BaseDBAsyncClient:
        """Tortoise's client for the queries of Tortoise's own methods. It uses this connection."""


class ScopedManager(Manager, Generic[M]):
    """Raises UnscopedQueryError for every query without an owner.

    Each model must have it as `manager` in its Meta. As a class attribute alone it would not protect `Model.all()`,
    which uses the manager in Meta.
    """

    def get_queryset(self) -> NoReturn:
        """Raise UnscopedQueryError. `all`, `filter`, `get`, related managers and prefetches all call this method."""
        raise UnscopedQueryError

    def across_all_users(self) -> QuerySet[M]:
        """Return all rows of all users. For upkeep (a purge, a census) and tests, never for a request."""
        return QuerySet(self.model)

    @property
    def model(self) -> type[M]:
        """The model that this manager belongs to."""
        model: type[M] = self._model
        return model


class OwnedModel(Model):
    """A model that can only be written through its scoped manager.

    Tortoise's own write methods select rows by primary key, not by owner, so they raise UnscopedQueryError too.
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
