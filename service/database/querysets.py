"""Querysets that belong to one owner, and that are turned into SQL once for each shape.

Building a Tortoise queryset and its SQL takes longer than PostgreSQL takes to answer. A queryset of this module
therefore records which verbs were called, its shape, and their values. The first read of a shape builds Tortoise's
queryset with `$n` in place of the values, and its text is kept. Each later read of that shape looks the text up and
sends it with its own values.

Tortoise's own methods (`filter`, `order_by`, `count`, `await`, …) work as well. They build Tortoise's state at that
moment, with the values. What they return has no shape, so its SQL is built at each read.
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
from service.errors import UnscopedQueryError

if TYPE_CHECKING:
    from service.database.scoping import Connection, Row

M = TypeVar("M", bound=Model)
S = TypeVar("S", bound="OwnedQuerySet[Any]")
P = ParamSpec("P")

PLACES = re.compile(r"\$(\d+)")
SHAPES = 500  # texts that are kept, of 1 to 5 KB each; a frontend uses some dozens
STATE = frozenset(name for kind in QuerySet.__mro__ for name in getattr(kind, "__slots__", ())) - {"model"}

Owner = tuple[Any, str | None, str | None]  # id, e-mail, name; the id is a term while a shape is compiled


class Step:
    """A verb in a shape: what it does to a queryset, and how many values it takes. Two steps are never equal."""

    __slots__ = ("apply", "values")

    def __init__(self, apply: Callable[..., Any], values: int = 0) -> None:
        """Keep the function; it takes a queryset and the values, and returns a queryset."""
        self.apply = apply
        self.values = values


def verb(
    encode: Callable[[Any], object] | None = None,
) -> Callable[[Callable[Concatenate[S, P], S]], Callable[Concatenate[S, P], S]]:
    """Make a verb of a method that is written with Tortoise's own, such as `return self.filter(id=task_id)`.

    A call records the verb and its positional values, each as `encode` returns it. The method itself runs once for each
    shape. Its values are then terms that stand for `$n`.
    """

    def decorate(apply: Callable[Concatenate[S, P], S]) -> Callable[Concatenate[S, P], S]:
        step = Step(apply, len(signature(apply).parameters) - 1)

        @wraps(apply)
        def record(self: S, *values: Any) -> S:  # noqa: ANN401 - the method's own
            if encode:
                values = tuple(value if isinstance(value, Term) else encode(value) for value in values)
            return self.then(step, values)

        return record  # type: ignore[return-value]  # reason: a verb takes no keywords

    return decorate


class OwnedQuerySet(QuerySet[M]):
    """The rows of one owner, over a connection.

    The owner stands in every SQL text that it makes. Methods of Tortoise that would write, or read other rows, raise
    UnscopedQueryError.
    """

    __slots__ = ("_connection", "_owner", "_shape", "_values")

    owner_column: ClassVar[str] = "user_id"
    own_state: ClassVar[tuple[str, ...]] = ()  # slots of a subclass that its verbs set

    if TYPE_CHECKING:  # Tortoise says `QuerySet`, and returns one of this class

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
        """Record the verbs. Tortoise's state is built when it is first used, or now if the `shape` is None."""
        self.model = model
        self._connection = connection
        self._owner = owner
        self._shape = shape  # None where Tortoise's own methods have changed, or will change, the state
        self._values = values
        if shape is None:
            self._begin()

    @property
    def user_id(self) -> str:
        """The owner's id."""
        return str(self._owner[0])

    def then(self, step: Step, values: tuple[object, ...] = ()) -> Self:
        """Return the queryset with one verb more."""
        if self._shape is None:
            changed: Self = step.apply(self, *values)
            return changed
        return self.__class__(self.model, self._connection, self._owner, (*self._shape, step), self._values + values)

    def fetch_one(self, terminal: Terminal, *values: object) -> Awaitable[Row]:
        """Read the one row of the text that `terminal` makes. Raises UnavailableError, as the next two do."""
        return self._connection.fetch_one(*self.statement(terminal, *values))

    def fetch_first(self, terminal: Terminal, *values: object) -> Awaitable[Row | None]:
        """Read the first row, None if there is none."""
        return self._connection.fetch_first(*self.statement(terminal, *values))

    def fetch_rows(self, terminal: Terminal, *values: object) -> Awaitable[Sequence[Row]]:
        """Read all rows."""
        return self._connection.fetch_rows(*self.statement(terminal, *values))

    def statement(self, terminal: Terminal, *values: object) -> tuple[Any, ...]:
        """Return the text that `terminal` makes of this queryset and `values`, and its arguments, the owner first."""
        if self._shape is None:
            numbered = Numbered(self.user_id)
            return (terminal(self, Writer(numbered), *values), *numbered.values)
        kind: QuerySetClass = self.__class__
        text, used = compiled(kind, self.model, self._shape, terminal, len(values))
        return (text, *(self._owner[0], *self._values, *values)[:used])

    def built(self) -> Self:
        """Return this queryset with Tortoise's state, made by its verbs, and without a shape."""
        if self._shape is None:
            return self
        made = self.__class__(self.model, self._connection, self._owner, None)
        values = iter(self._values)
        for step in self._shape:
            made = step.apply(made, *islice(values, step.values))
        return made

    def _begin(self) -> None:
        """Take the state of a queryset of Tortoise's that names the owner and nothing else."""
        QuerySet.__init__(self, self.model)
        if self._connection is not None:  # as there is none while a shape is compiled
            self._db = self._connection.orm
        owner = self.model._meta.basetable[self.owner_column]  # noqa: SLF001 - Tortoise's name for it
        self._q_objects = [Condition(owner == self._owner[0])]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever Tortoise keeps there
        """Build Tortoise's state at its first use. Raises AttributeError for a name that is no part of it."""
        if name not in STATE and name not in self.own_state:
            raise AttributeError(name)
        made = self.built()
        for part in (*STATE, *self.own_state):
            setattr(self, part, getattr(made, part))
        return getattr(self, name)

    def _clone(self) -> Self:
        """Return a copy for one of Tortoise's methods to change."""
        made: Self = super()._clone()  # type: ignore[assignment]  # reason: Tortoise makes it of this class
        made._connection = self._connection
        made._owner = self._owner
        made._shape = None
        made._values = ()
        for part in self.own_state:
            setattr(made, part, getattr(self, part))
        return made

    def limited(self, number: object) -> Self:
        """Return the first rows, as many as `number` says; `limit` takes no term."""
        made: Self = self._clone()
        made._limit = number  # type: ignore[assignment]  # reason: a term, while a shape is compiled
        return made

    def columns(self, **expressions: str | Term) -> ValuesQuery[Any]:
        """Select SQL expressions by name; a model's columns are qualified in them, in case tables are joined."""
        terms = {name: RawSQL(one) if isinstance(one, str) else one for name, one in expressions.items()}
        return self.annotate(**terms).values(*expressions)

    def _refuse(self, *_arguments: object, **_options: object) -> NoReturn:
        raise UnscopedQueryError

    # These take other rows than the owner's, or write past the database functions.
    raw = union = bulk_create = bulk_update = update = delete = _refuse


QuerySetClass = Callable[..., OwnedQuerySet[Any]]
Terminal = Callable[..., str]  # of a queryset, a Writer and values: the text of a read


@lru_cache(maxsize=SHAPES)
def compiled(
    kind: QuerySetClass, model: type[Model], shape: tuple[Step, ...], terminal: Terminal, values: int
) -> tuple[str, int]:
    """Return the text of a read, and the largest `$n` in it.

    `$1` is the owner, then come the values of the verbs, then those of the terminal, which need not use the last ones.
    """
    places = (Parameter(f"${number}") for number in count(1))
    owner = (next(places), None, None)
    of_verbs = tuple(islice(places, sum(step.values for step in shape)))
    queryset = kind(model, None, owner, shape, of_verbs).built()
    text = terminal(queryset, Writer(Constants()), *islice(places, values))
    return text, max(map(int, PLACES.findall(text)))
