"""Querysets of one owner that build their SQL once for each shape.

Tortoise takes longer to build a queryset and its SQL than PostgreSQL takes to execute it. A queryset of this module
therefore only records the verbs that are called on it and their values. The sequence of verbs is its shape. The first
read of a shape builds Tortoise's queryset with `$n` in place of the values, and stores the SQL text. Later reads of the
same shape send the stored text with their own values.

All of Tortoise's own methods (`filter`, `order_by`, `count`, `await`, …) work too. They build Tortoise's state at that
moment, with the actual values. Their result has no shape: each read of it builds the SQL again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, wraps
from inspect import signature
from itertools import count, islice
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, NoReturn, ParamSpec, Self, TypeVar

from pypika_tortoise.terms import Parameter, Term
from tortoise.expressions import Q, RawSQL
from tortoise.models import Model
from tortoise.queryset import QuerySet, ValuesQuery

from service.database.expressions import Condition, Constants, Numbered, Writer
from service.database.scoping import UnscopedQueryError

if TYPE_CHECKING:
    from service.database.scoping import Connection, Row

M = TypeVar("M", bound=Model)
S = TypeVar("S", bound="OwnedQuerySet[Any]")
P = ParamSpec("P")

SHAPES = 500  # stored texts, of 1 to 5 KB each; the requests of a frontend have some dozens of shapes
PLACES = re.compile(r"\$(\d+)")
STATE = frozenset(name for kind in QuerySet.__mro__ for name in getattr(kind, "__slots__", ())) - {"model"}

Verbs = tuple["tuple[Step, ...]", tuple[object, ...]]  # the verbs of a queryset, and their values
Owner = tuple[Any, str | None, str | None]  # id, e-mail, name; the id is a term while a text is compiled


class Step:
    """A verb in a shape. Steps are compared by identity."""

    __slots__ = ("apply", "values")

    def __init__(self, apply: Callable[..., Any], values: int = 0) -> None:
        """Store a function that takes a queryset and so many `values`, and returns a queryset."""
        self.apply = apply
        self.values = values


def verb(apply: Callable[Concatenate[S, P], S]) -> Callable[Concatenate[S, P], S]:
    """Turn a method that uses Tortoise's own methods, such as `return self.filter(id=task_id)`, into a verb.

    A call of the verb only records its values, which must be positional. The method itself runs once for each shape;
    its arguments are then terms for `$n` instead of values.
    """
    step = Step(apply, len(signature(apply).parameters) - 1)

    @wraps(apply)
    def record(self: S, *values: Any) -> S:  # noqa: ANN401 - the values of any verb
        return self.then(step, values)

    return record  # type: ignore[return-value]  # reason: a verb takes no keywords


class OwnedQuerySet(QuerySet[M]):
    """The rows of one owner, over a connection.

    Every SQL text that it builds contains the owner. It refuses methods of Tortoise that write, or that read rows of
    other owners: they raise UnscopedQueryError.
    """

    __slots__ = ("_connection", "_owner", "_shape", "_values")

    owner_column: ClassVar[str] = "user_id"
    own_state: ClassVar[tuple[str, ...]] = ()  # the slots of a subclass that its verbs set

    if TYPE_CHECKING:  # Tortoise declares `QuerySet`, and returns an object of this class

        def annotate(self, **annotations: Any) -> Self: ...  # noqa: ANN401, D102 - Tortoise's own method
        def filter(self, *conditions: Q, **values: Any) -> Self: ...  # noqa: ANN401, D102 - Tortoise's own method
        def order_by(self, *orderings: str) -> Self: ...  # noqa: D102 - Tortoise's own method

    def __init__(
        self,
        model: type[M],
        connection: Connection,
        owner: Owner,
        shape: tuple[Step, ...] | None = (),
        values: tuple[object, ...] = (),
    ) -> None:
        """Record the verbs. The first use of Tortoise's state builds it; without a `shape`, it is built now."""
        self.model = model
        self._connection = connection
        self._owner = owner
        self._shape = shape  # None if methods of Tortoise have changed the state
        self._values = values
        if shape is None:
            self._begin()

    @property
    def user_id(self) -> str:
        """The owner's id."""
        return str(self._owner[0])

    def of_the_same_owner(self, kind: type[S], model: type[Model]) -> S:
        """Return the rows of `model` that belong to the same owner, over the same connection."""
        return kind(model, self._connection, self._owner)

    def then(self, step: Step, values: tuple[object, ...] = ()) -> Self:
        """Add a verb."""
        if self._shape is None:
            changed: Self = step.apply(self, *values)
            return changed
        return self.__class__(self.model, self._connection, self._owner, (*self._shape, step), self._values + values)

    @property
    def verbs(self) -> Verbs:
        """The verbs of this queryset, for `with_verbs`. Raises TypeError after a method of Tortoise."""
        if self._shape is None:
            raise TypeError("a method of Tortoise is no verb")
        return self._shape, self._values

    def with_verbs(self, verbs: Verbs) -> Self:
        """Add the verbs of another queryset, which may be that of another owner."""
        if self._shape is None:
            raise TypeError("a method of Tortoise came before the verbs")
        shape, values = verbs
        return self.__class__(self.model, self._connection, self._owner, self._shape + shape, self._values + values)

    def fetch_one(self, terminal: Terminal, *values: object) -> Awaitable[Row]:
        """Read the single row of the text that `terminal` builds.

        This method and the next two raise UnavailableError if the database is not available.
        """
        return self._connection.fetch_one(*self.statement(terminal, *values))

    def fetch_first(self, terminal: Terminal, *values: object) -> Awaitable[Row | None]:
        """Read the first row; None if there is no row."""
        return self._connection.fetch_first(*self.statement(terminal, *values))

    def fetch_rows(self, terminal: Terminal, *values: object) -> Awaitable[Sequence[Row]]:
        """Read all rows."""
        return self._connection.fetch_rows(*self.statement(terminal, *values))

    def statement(self, terminal: Terminal, *values: object) -> tuple[Any, ...]:
        """Return the text that `terminal` builds, and its arguments; the first one is the owner."""
        if self._shape is None:
            numbered = Numbered(self.user_id)
            return (terminal(self, Writer(numbered), *values), *numbered.values)
        kind: QuerySetClass = self.__class__
        text, used = compiled(kind, self.model, self._shape, terminal, len(values))
        return (text, *(self._owner[0], *self._values, *values)[:used])

    def built(self) -> Self:
        """Apply the verbs. Returns a queryset with Tortoise's state and without a shape."""
        if self._shape is None:
            return self
        made = self.__class__(self.model, self._connection, self._owner, None)
        values = iter(self._values)
        for step in self._shape:
            made = step.apply(made, *islice(values, step.values))
        return made

    def _begin(self) -> None:
        """Initialise Tortoise's state with the owner as the only condition."""
        QuerySet.__init__(self, self.model)
        if self._connection is not None:  # there is none while a text is compiled
            self._db = self._connection.orm
        owner = self.model._meta.basetable[self.owner_column]  # noqa: SLF001 - Tortoise has no public name for it
        self._q_objects = [Condition(owner == self._owner[0])]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any part of Tortoise's state
        """Build Tortoise's state at its first use. Raises AttributeError for all other names."""
        if name not in STATE and name not in self.own_state:
            raise AttributeError(name)
        made = self.built()
        for part in (*STATE, *self.own_state):
            setattr(self, part, getattr(made, part))
        return getattr(self, name)

    def _clone(self) -> Self:
        """Return a copy that a method of Tortoise can change."""
        made: Self = super()._clone()  # type: ignore[assignment]  # reason: it is of this class
        made._connection = self._connection
        made._owner = self._owner
        made._shape = None
        made._values = ()
        for part in self.own_state:
            setattr(made, part, getattr(self, part))
        return made

    def limited(self, number: object) -> Self:
        """Limit the number of rows. Unlike `limit`, it also accepts a term."""
        made: Self = self._clone()
        made._limit = number  # type: ignore[assignment]  # reason: a term while a text is compiled
        return made

    def columns(self, **expressions: str | Term) -> ValuesQuery[Any]:
        """Select SQL expressions by name. They must qualify their columns, because a filter may join tables."""
        terms = {name: RawSQL(one) if isinstance(one, str) else one for name, one in expressions.items()}
        return self.annotate(**terms).values(*expressions)

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise UnscopedQueryError

    # These read rows of other owners, or write without the database functions.
    raw = union = bulk_create = bulk_update = update = delete = _refuse


QuerySetClass = Callable[..., OwnedQuerySet[Any]]
Terminal = Callable[..., str]  # takes a queryset, a Writer and values; returns the text of a read


@lru_cache(maxsize=SHAPES)
def compiled(
    kind: QuerySetClass, model: type[Model], shape: tuple[Step, ...], terminal: Terminal, values: int
) -> tuple[str, int]:
    """Return the text of a read, and the number of its arguments.

    `$1` is the owner. The values of the verbs follow, and then those of the terminal, which may omit the last of them.
    """
    places = (Parameter(f"${number}") for number in count(1))
    owner = (next(places), None, None)
    of_verbs = tuple(islice(places, sum(step.values for step in shape)))
    queryset = kind(model, None, owner, shape, of_verbs).built()
    text = terminal(queryset, Writer(Constants()), *islice(places, values))
    return text, max(map(int, PLACES.findall(text)))
