"""SQL as a part of Tortoise's querysets: expressions and conditions with values, and the text of a whole statement."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from pypika_tortoise.dialects import PostgreSQLQuery
from pypika_tortoise.terms import Criterion, Parameter, Parameterizer, Term, ValueWrapper
from pypika_tortoise.utils import format_alias_sql
from tortoise.expressions import Q, ResolveContext
from tortoise.query_utils import QueryModifier
from tortoise.queryset import AwaitableQuery

if TYPE_CHECKING:
    from pypika_tortoise.context import SqlContext


class Sql(Criterion):
    """An SQL expression with a `{}` for each of its values."""

    def __init__(self, text: str, *values: object) -> None:
        """Keep the expression. Its `text` holds nothing that a client sent; `values` may be terms of Tortoise's."""
        super().__init__()
        self._text = text
        self._terms = [value if isinstance(value, Term) else ValueWrapper(value) for value in values]

    def get_sql(self, ctx: SqlContext) -> str:
        """Write the expression, with its alias where it is selected."""
        within = ctx.copy(with_alias=False)
        text = self._text.format(*(term.get_sql(within) for term in self._terms))
        return format_alias_sql(text, self.alias, ctx) if ctx.with_alias else text


class Condition(Q):
    """A condition of Tortoise's query builder, to be used in `filter` and `exclude`, and with `&`, `|` and `~`."""

    __slots__ = ("_criterion",)

    def __init__(self, criterion: Criterion) -> None:
        """Keep the condition. It names its columns itself: an annotation of the same name cannot take their place."""
        super().__init__()
        self._criterion = criterion

    def resolve(self, _resolve_context: ResolveContext) -> QueryModifier:
        """Return the condition for Tortoise's WHERE."""
        return QueryModifier(where_criterion=self._criterion)

    def __invert__(self) -> Q:
        """Return the opposite condition."""
        opposite = Q(self)
        opposite.negate()
        return opposite

    def __bool__(self) -> bool:
        """Return true: unlike an empty Q it filters."""
        return True

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def where(text: str, *values: object) -> Condition:
    """Return a condition in SQL; the arguments are those of `Sql`."""
    return Condition(Sql(f"({text})", *values))


class Writer:
    """Writes the text of querysets and of values, as parts of one statement."""

    def __init__(self, parameterizer: Parameterizer) -> None:
        """Number the values with `parameterizer`."""
        self._context = PostgreSQLQuery.SQL_CONTEXT.copy(parameterizer=parameterizer)

    def __call__(self, part: object) -> str:
        """Return the SELECT of a queryset, or the `$n` of a value."""
        if isinstance(part, AwaitableQuery):
            part._choose_db_if_not_chosen()  # noqa: SLF001 - what `sql()` does, which takes no parameterizer
            part._make_query()  # noqa: SLF001 - as with the line above
            text: str = part.query.get_sql(self._context)
            return text
        term = part if isinstance(part, Term) else ValueWrapper(part)
        return str(term.get_sql(self._context))


class Constants(Parameterizer):
    """For compiled texts: each value is a `Parameter` already, and all else is a constant of a verb."""

    def should_parameterize(self, _value: object) -> bool:
        """Say no: it becomes a part of the text."""
        return False


class Numbered(Parameterizer):
    """For texts that are built at each read: numbers the values, the owner always 1."""

    def __init__(self, owner: str) -> None:
        """Begin with the owner."""
        super().__init__()
        self.values = [owner]

    def should_parameterize(self, value: object) -> bool:
        """Say yes, also to `*`. An Enum is a constant of Tortoise's, and a term is no value."""
        return not isinstance(value, (Enum, Term))

    def create_param(self, value: Any) -> Parameter:  # noqa: ANN401 - as in the method that this replaces
        """Return the `$n` of a value."""
        return Parameter("$1") if isinstance(value, str) and value == self.values[0] else super().create_param(value)
