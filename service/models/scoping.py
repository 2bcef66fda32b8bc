"""The fail-closed manager: without an owner's name, no query starts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, NoReturn, Protocol, Self, TypeVar, cast

from tortoise.manager import Manager
from tortoise.models import Model
from tortoise.queryset import QuerySet

from service.errors import UnscopedQueryError

M = TypeVar("M", bound=Model)


class Row(Protocol):
    """One row of an answer, read by column name."""

    def __getitem__(self, column: str) -> Any:  # noqa: ANN401 - a column holds whatever its type says
        """Give the column's value; raises KeyError for a column that was not selected."""


class Database(Protocol):
    """What the managers ask of a connection: one statement, one row."""

    async def fetch_row(self, statement: str, *arguments: object) -> Row | None:
        """Run `statement` with its `$n` arguments and return the first row, if any.

        Raises UnavailableError when the database cannot answer now.
        """


class Speaker(Database, Protocol):
    """What the managers of one user ask: of a pool, or of the session of a transaction."""

    async def fetch_read(self, statement: str, *arguments: object) -> Row | None:
        """Do the same for a statement that changes nothing, which a pool may therefore run twice."""

    def transaction(self, owner: str | None = None) -> AbstractAsyncContextManager[Speaker]:
        """Run statements together, or not at all when the block raises. Raises UnavailableError.

        `owner` is the user in whose share of the pool they run.
        """


class _Bound:
    """Where the managers find the database; asking Tortoise for its connection at each statement would cost 4 µs."""

    database: Speaker | None = None


def bind(database: Speaker | None) -> None:
    """Tell the managers which database to speak to; None when it closes."""
    _Bound.database = database


def database() -> Speaker:
    """The database that the application was started with."""
    assert _Bound.database is not None, "the database is not open"  # noqa: S101 - the application opens it at start
    return _Bound.database


class UserScope:
    """What one user has, and nobody else: the database to speak to about it, or one transaction's session."""

    __slots__ = ("_owner", "_session")

    def __init__(
        self, user_id: str, email: str | None = None, name: str | None = None, *, session: Speaker | None = None
    ) -> None:
        """Bind to the owner, and to a transaction if any. `email` and `name` go to the user's row with each write."""
        self._owner = (user_id, email, name)
        self._session = session

    @property
    def user_id(self) -> str:
        """Whose it is."""
        return self._owner[0]

    def within(self, session: Speaker) -> Self:
        """The same, as one transaction's `session` writes and sees it."""
        return type(self)(*self._owner, session=session)

    @property
    def _speaker(self) -> Speaker:
        return self._session or database()


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
        return QuerySet(cast("type[M]", self._model))


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
