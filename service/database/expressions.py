"""SQL within Tortoise's querysets: expressions and conditions with values, and texts of whole statements."""

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
        """Store the expression. The `text` must not contain input of clients. `values` may also be terms."""
        super().__init__()
        self._text = text
        self._terms = [value if isinstance(value, Term) else ValueWrapper(value) for value in values]

    def get_sql(self, ctx: SqlContext) -> str:
        """Format the expression; in a SELECT list, with its alias."""
        within = ctx.copy(with_alias=False)
        text = self._text.format(*(term.get_sql(within) for term in self._terms))
        return format_alias_sql(text, self.alias, ctx) if ctx.with_alias else text


class Condition(Q):
    """A condition for `filter` and `exclude`. It can be combined with `&`, `|` and `~`."""

    __slots__ = ("_criterion",)

    def __init__(self, criterion: Criterion) -> None:
        """Store the condition. It refers to columns of the table, never to an annotation with the same name."""
        super().__init__()
        self._criterion = criterion

    def resolve(self, _resolve_context: ResolveContext) -> QueryModifier:
        """Return the condition as a part of the WHERE clause."""
        return QueryModifier(where_criterion=self._criterion)

    def __invert__(self) -> Q:
        """Return the opposite condition."""
        opposite = Q(self)
        opposite.negate()
        return opposite

    def __bool__(self) -> bool:
        """Return true. Tortoise ignores a Q without keywords as empty."""
        return True

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def where(text: str, *values: object) -> Condition:
    """Return a condition in SQL. The arguments are those of `Sql`."""
    return Condition(Sql(f"({text})", *values))


class Writer:
    """Formats querysets and values as parts of one statement."""

    def __init__(self, parameterizer: Parameterizer) -> None:
        """Number the values with `parameterizer`."""
        self._context = PostgreSQLQuery.SQL_CONTEXT.copy(parameterizer=parameterizer)

    def __call__(self, part: object) -> str:
        """Return the SELECT of a queryset, or the `$n` of a value."""
        if isinstance(part, AwaitableQuery):
            part._choose_db_if_not_chosen()  # noqa: SLF001 - as in `sql()`, which takes no parameterizer
            part._make_query()  # noqa: SLF001 - as with the line above
            text: str = part.query.get_sql(self._context)
            return text
        term = part if isinstance(part, Term) else ValueWrapper(part)
        return str(term.get_sql(self._context))


class Constants(Parameterizer):
    """The parameterizer of compiled texts, in which every value is a `Parameter` already. The rest are constants."""

    def should_parameterize(self, value: object) -> bool:
        """Return false, so that the constant becomes a part of the text.

        Raises TypeError for a string: the text is stored for all users, so it must not contain a value of one user.
        """
        if isinstance(value, str):
            raise TypeError("a verb must take strings as values")
        return False


class Numbered(Parameterizer):
    """The parameterizer of texts that are built for one read. It numbers the values; the owner is always `$1`."""

    def __init__(self, owner: str) -> None:
        """Number the owner."""
        super().__init__()
        self.values = [owner]

    def should_parameterize(self, value: object) -> bool:
        """Return true for values, `*` included. An Enum is a constant of Tortoise, and a term is not a value."""
        return not isinstance(value, (Enum, Term))

    def create_param(self, value: Any) -> Parameter:  # noqa: ANN401 - as in the overridden method
        """Return the `$n` of a value."""
        return Parameter("$1") if isinstance(value, str) and value == self.values[0] else super().create_param(value)
