"""Parse query strings into typed fields. This is the only parser of query strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from service.errors import FieldError, InvalidInputError
from service.web import validation

MAXIMUM_PARTS = 100
WHOLE = re.compile(r"\d{1,19}", re.ASCII)
WHOLE_NUMBERS = frozenset({"limit"})


def pairs(query_string: str) -> list[tuple[str, str]]:
    """Return the names and values in the order of the query string.

    Raises InvalidInputError for invalid UTF-8 and for more than MAXIMUM_PARTS parts.
    """
    try:
        return parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MAXIMUM_PARTS)
    except ValueError:
        rule = f"must be percent-encoded UTF-8 of at most {MAXIMUM_PARTS} parts"
        raise InvalidInputError([FieldError("query", rule)]) from None


def read(
    query_string: str,
    kind: type[validation.S],
    repeatable: frozenset[str] = frozenset(),
    aliases: Mapping[str, str] = MappingProxyType({}),
) -> validation.S:
    """Return the query string as a `kind`. Names may be repeated only if they are in `repeatable`.

    `aliases` maps other names to those of `kind`. A known name with an empty value is ignored. Raises InvalidInputError
    for an unknown name, an invalid value and a forbidden repetition, and the errors of `pairs`.
    """
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    known = {*kind.__struct_fields__, *aliases}
    repeated = []
    for sent, value in pairs(query_string):
        name = aliases.get(sent, sent)
        if not value and sent in known:
            continue
        if spelled.setdefault(name, sent) != sent:
            repeated.append(FieldError(sent, f"is another name of {spelled[name]}; send only one of them"))
        elif name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in WHOLE_NUMBERS and not WHOLE.fullmatch(value):
            values[name] = None  # an invalid value, because msgspec would accept '1e3' and '5.0' as whole numbers
        elif name in values and sent in known:
            repeated.append(FieldError(sent, "may be sent only once"))
        else:
            values[name] = value
    if repeated:
        raise InvalidInputError(repeated)
    return validation.convert(values, kind, strict=False)
