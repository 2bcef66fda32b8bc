"""Convert the client's input into typed fields, strictly, and report all faults together.

The types are msgspec structs, which also define the OpenAPI schemas. In the usual case, one call of msgspec decodes the
input. If that fails, each field is checked separately, so that the response names all faults (up to twenty).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args

import msgspec
from msgspec.structs import FieldInfo, fields

from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.web import other_names

S = TypeVar("S", bound=msgspec.Struct)

BYTE = re.compile(r"\(byte (\d+)\)")  # the position in msgspec's messages

# The maximum for a whole request. A body of 64 KiB may contain 6,000 unknown fields; naming all of them took 0.1 s and
# 2 MB.
MAXIMUM_FAULTS = 20
LONGEST_NAME = 40  # maximum characters of an unknown field name in a response
UNDECODABLE = "it contains half of a surrogate pair, or a number that is too large"
UNNAMED = FieldError("", f"is not valid; the response names only {MAXIMUM_FAULTS} faults of a request")


def decode(body: bytes, kind: type[S]) -> S:
    """Return the JSON object in `body` as a `kind`.

    Raises MalformedInputError if the body is not JSON, and InvalidInputError with a fault for each invalid field.
    """
    try:
        decoded: S = _decoder(kind)(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not body.strip():
            raise MalformedInputError(f"The request has no body; send {_example(kind)}.") from None
        return convert(_parse(body), kind, strict=True)
    return decoded


def _parse(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise MalformedInputError("The request body is not valid JSON; it is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedInputError(f"The request body is not valid JSON; {_place(body, str(error))}.") from None


def _place(body: bytes, reason: str) -> str:
    """Return the position of the first fault: the byte, from 0, and the line and column in characters, from 1."""
    at = min(int(found[1]), len(body) - 1) if (found := BYTE.search(reason)) else len(body)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        if error.start <= at:
            return f"byte {error.start} is not UTF-8"
    if at >= len(body):
        size = f"{len(body):,} {'byte' if len(body) == 1 else 'bytes'}"
        return f"it ends too early, after {size}" if _is_cut_off(body) else UNDECODABLE
    before = body[:at].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)
    return f"the fault is at byte {at}, line {line}, column {column + 1}"


def _is_cut_off(body: bytes) -> bool:
    """Return whether `body` is cut off. msgspec reports the same error for half of a surrogate pair."""
    try:
        json.loads(body)
    except (json.JSONDecodeError, RecursionError):  # msgspec's maximum depth is greater than that of `json`
        return True
    except ValueError:  # an integer of too many digits
        return False
    return False


def convert(value: object, kind: type[S], *, strict: bool, most: int = MAXIMUM_FAULTS) -> S:
    """Return `value`, a dictionary of fields, as a `kind`. If not `strict`, a text may represent a number or boolean.

    Raises InvalidInputError with at most `most` faults. If `most` is 0, the fields are not checked separately.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        faults = _faults(value, kind, strict=strict)[:most] if most > 0 else [UNNAMED]
        raise InvalidInputError(faults) from None


def rule(kind: type[msgspec.Struct], name: str) -> str:
    """Return the rule of the field `name` of `kind` as a message for the client."""
    sentence = _sentence(_known(kind)[name].type)
    return f"must be {sentence}" if sentence else "is not valid"


def within(place: str, faults: list[FieldError]) -> list[FieldError]:
    """Return `faults` of an object at `place` in the input, with `place` added to their field names."""
    return [fault._replace(field=f"{place}.{fault.field}" if fault.field else place) for fault in faults]


def _sentence(kind: Any) -> str | None:  # noqa: ANN401 - any type that msgspec knows
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra:
            return str(meta.extra["rule"])
    return next(filter(None, map(_sentence, get_args(kind))), None)


@cache
def _decoder(kind: type[S]) -> Callable[[bytes], S]:
    return msgspec.json.Decoder(kind).decode


@cache
def _known(kind: type[msgspec.Struct]) -> Mapping[str, FieldInfo]:
    return {field.encode_name: field for field in fields(kind)}


def _faults(value: object, kind: type[msgspec.Struct], *, strict: bool) -> list[FieldError]:
    if not isinstance(value, dict):
        return [FieldError("body", f"must be {_example(kind)}")]
    known = _known(kind)
    faults: list[FieldError] = []
    for name, content in value.items():
        if len(faults) >= MAXIMUM_FAULTS:
            break
        if name == kind.__struct_config__.tag_field:
            continue
        if name not in known:
            faults.append(_unknown(name, tuple(known)))
        elif message := _misfit(content, known[name].type, strict=strict):
            faults.extend(
                _inside(content, known[name].type, name, strict=strict)
                or [FieldError(name, message if isinstance(message, str) else rule(kind, name))]
            )
    faults.extend(
        FieldError(name, f"is required: {_sentence(field.type) or _example(field.type)}")
        for name, field in known.items()
        if field.required and name not in value
    )
    return faults[:MAXIMUM_FAULTS] or [FieldError("body", "is not valid")]


def shortened(name: str) -> str:
    """Return an unknown name, shortened for the response."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _inside(content: object, kind: Any, name: str, *, strict: bool) -> list[FieldError]:  # noqa: ANN401 - any type that msgspec knows
    """Return the faults of an object in the field `name`; none if the field is not an object."""
    kind = next(
        (one for one in (kind, *_parts(kind)) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None
    )
    if kind is None:
        return []
    if not isinstance(content, dict):
        return [FieldError(name, f"must be {_example(kind)}")]
    return within(name, _faults(content, kind, strict=strict))


def _parts(kind: Any) -> Iterator[Any]:  # noqa: ANN401 - any type that msgspec knows
    """Return the types of an annotated type and of a union that may be null or missing."""
    if isinstance(kind, UnionType) or hasattr(kind, "__metadata__"):
        for part in get_args(kind):
            yield part
            yield from _parts(part)


def _misfit(content: object, kind: Any, *, strict: bool) -> str | bool:  # noqa: ANN401 - any type that msgspec knows
    """Return False if `content` is a valid `kind`. Otherwise return the message, or True for the field's own rule."""
    try:
        value = msgspec.convert(content, kind, strict=strict)
        if (read := _reader(kind)) and value is not None:
            read(value)
    except msgspec.ValidationError:
        sentence = _sentence(kind)
        if strict and sentence and isinstance(content, str) and not _misfit(content, kind, strict=False):  # "true", "7"
            return f"must be {sentence}, without quotation marks"
        return True
    except ValueError as error:
        return str(error) or True
    return False


def _reader(kind: Any) -> Callable[[Any], object] | None:  # noqa: ANN401 - any type that msgspec knows
    """Return the function in `Meta.extra` that parses the field, or None if its type is sufficient."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra and "read" in meta.extra:
            reader: Callable[[Any], object] = meta.extra["read"]
            return reader
    return next(filter(None, map(_reader, get_args(kind))), None)


def _unknown(name: str, known: tuple[str, ...]) -> FieldError:
    meant = other_names.meant_by(name, known)
    message = f"is not known; {meant}" if meant else "is not known"
    hint = f"known names: {', '.join(known)}" if known else "no name is allowed here"
    return FieldError(shortened(name), message, hint, is_known=False)


def _example(kind: Any) -> str:  # noqa: ANN401 - any type that msgspec knows
    """Return a description of an object of this `kind`, with an example."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "it has no default"
    known = _known(kind).values()
    for field in sorted(known, key=lambda field: not field.required):
        if examples := _schema(field.type).get("examples"):
            return f"a JSON object such as {msgspec.json.encode({field.encode_name: examples[0]}).decode()}"
    return "a JSON object"


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type that msgspec knows
    """Return the additions of a field's type to its JSON Schema."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra_json_schema:
            return meta.extra_json_schema
    return next(filter(None, map(_schema, get_args(kind))), {})
