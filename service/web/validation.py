"""Reading what clients send into typed fields: strict, and with every fault named at once.

The types are msgspec's, and OpenAPI is made from the same ones. The fast path is one decode. Only when that fails are
the fields looked at one by one, to tell the client about all of them (up to twenty).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec
from msgspec.structs import FieldInfo, fields

from service.errors import FieldError, InvalidInputError, MalformedInputError
from service.web import foreign

S = TypeVar("S", bound=msgspec.Struct)

BYTE = re.compile(r"\(byte (\d+)\)")  # in the words of msgspec

# Of a whole request. A body of 64 KiB may hold 6,000 unknown fields; to name them all took 0.1 s and an answer of 2 MB.
MAXIMUM_FAULTS = 20
LONGEST_NAME = 40  # characters of a client's own name for a field, in an answer
UNDECODABLE = "it holds half of a surrogate pair, or a number beyond all bounds"
UNNAMED = FieldError("", f"is not valid; only {MAXIMUM_FAULTS} faults of a request are named")


def decode(body: bytes, kind: type[S]) -> S:
    """The JSON object in `body` as a `kind`.

    Raises MalformedInputError for what is not JSON, InvalidInputError naming every field that breaks its rule.
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
    """Where `body` stops being JSON in UTF-8: the byte from 0, the line and the column (in characters) from 1."""
    at = min(int(found[1]), len(body) - 1) if (found := BYTE.search(reason)) else len(body)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        if error.start <= at:
            return f"byte {error.start} is not UTF-8"
    if at >= len(body):
        return f"it ends too early, after {len(body):,} bytes" if _is_cut_off(body) else UNDECODABLE
    before = body[:at].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)
    return f"the fault is at byte {at}, line {line}, column {column + 1}"


def _is_cut_off(body: bytes) -> bool:
    """Whether JSON that msgspec takes for the beginning of one is that; half of a surrogate pair looks the same."""
    try:
        json.loads(body)
    except (json.JSONDecodeError, RecursionError):  # near the greatest depth msgspec goes further
        return True
    except ValueError:  # an integer of too many digits
        return False
    return False


def convert(value: object, kind: type[S], *, strict: bool, most: int = MAXIMUM_FAULTS) -> S:
    """`value`, an object's members by name, as a `kind`; without `strict` a text may stand for a number or a switch.

    Raises InvalidInputError naming every field that breaks its rule, up to `most`; none is looked for if that is 0.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        faults = _faults(value, kind, strict=strict)[:most] if most > 0 else [UNNAMED]
        raise InvalidInputError(faults) from None


def rule(kind: type[msgspec.Struct], name: str) -> str:
    """The sentence that says what the field `name` of `kind` must be."""
    sentence = _sentence(_known(kind)[name].type)
    return f"must be {sentence}" if sentence else "is not valid"


def within(place: str, faults: list[FieldError]) -> list[FieldError]:
    """The faults of something that is itself at `place` in what was sent."""
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
    """A name that a client made up, short enough to be answered."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _inside(content: object, kind: Any, name: str, *, strict: bool) -> list[FieldError]:  # noqa: ANN401 - any type that msgspec knows
    """The faults of what should be an object in the field `name`; none where it should be anything else."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    if not isinstance(content, dict):
        return [FieldError(name, f"must be {_example(kind)}")]
    return within(name, _faults(content, kind, strict=strict))


def _misfit(content: object, kind: Any, *, strict: bool) -> str | bool:  # noqa: ANN401 - any type that msgspec knows
    """Why `content` is no `kind`: a sentence, or True where the field's rule says it; False if it is one."""
    try:
        msgspec.convert(content, kind, strict=strict)
        if (read := _reader(kind)) and content is not None:
            read(content)
    except msgspec.ValidationError:
        sentence = _sentence(kind)
        if strict and sentence and isinstance(content, str) and not _misfit(content, kind, strict=False):  # "true", "7"
            return f"must be {sentence}, without quotation marks"
        return True
    except ValueError as error:
        return str(error) or True
    return False


def _reader(kind: Any) -> Callable[[Any], object] | None:  # noqa: ANN401 - any type that msgspec knows
    """What reads the content of a field whose type alone does not say what it must be; see `Meta.extra`."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra and "read" in meta.extra:
            reader: Callable[[Any], object] = meta.extra["read"]
            return reader
    return next(filter(None, map(_reader, get_args(kind))), None)


def _unknown(name: str, known: tuple[str, ...]) -> FieldError:
    meant = foreign.meant_by(name, known)
    message = f"is not known; {meant}" if meant else "is not known"
    hint = f"known are {', '.join(known)}" if known else "there is none to send"
    return FieldError(shortened(name), message, hint, is_known=False)


def _example(kind: Any) -> str:  # noqa: ANN401 - any type that msgspec knows
    """What an object of this `kind` looks like."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "it has no default"
    known = _known(kind).values()
    for field in sorted(known, key=lambda field: not field.required):
        if examples := _schema(field.type).get("examples"):
            return f"a JSON object such as {msgspec.json.encode({field.encode_name: examples[0]}).decode()}"
    return "a JSON object"


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type that msgspec knows
    """What the types of a field add to its JSON Schema."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra_json_schema:
            return meta.extra_json_schema
    return next(filter(None, map(_schema, get_args(kind))), {})
