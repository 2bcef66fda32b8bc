"""Reading what clients send into typed fields: strict, and with every fault named at once.

The types are msgspec's, and OpenAPI is made from the same ones. The fast path is one decode. Only when that fails are
the fields looked at one by one, to tell the client about all of them (up to twenty).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import UNSET
from msgspec.structs import FieldInfo, fields

from service.errors import FieldError, InvalidInputError, MalformedInputError

S = TypeVar("S", bound=msgspec.Struct)

# A body of 64 KiB may hold 6,000 unknown fields; to name them all took 0.1 s and an answer of 2 MB.
MAXIMUM_FAULTS = 20


def decode(body: bytes, kind: type[S]) -> S:
    """The JSON object in `body` as a `kind`.

    Raises MalformedInputError for what is not JSON, InvalidInputError naming every field that breaks its rule.
    """
    try:
        decoded: S = _decoder(kind)(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return convert(_parse(body), kind, strict=True)
    return decoded


def _parse(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedInputError from None


def convert(value: object, kind: type[S], *, strict: bool) -> S:
    """`value`, an object's members by name, as a `kind`; without `strict` a text may stand for a number or a switch.

    Raises InvalidInputError naming every field that breaks its rule.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        raise InvalidInputError(_faults(value, kind, strict=strict)) from None


def rule(kind: type[msgspec.Struct], name: str) -> str:
    """The sentence that says what the field `name` of `kind` must be."""
    sentence = _sentence(_known(kind)[name].type)
    return f"must be {sentence}" if sentence else "is not valid"


def within(place: str, faults: list[FieldError]) -> list[FieldError]:
    """The faults of something that is itself at `place` in what was sent."""
    return [FieldError(f"{place}.{field}" if field else place, message) for field, message in faults]


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
        return [FieldError("body", "must be a JSON object")]
    known = _known(kind)
    faults: list[FieldError] = []
    for name, content in value.items():
        if len(faults) == MAXIMUM_FAULTS:
            return faults
        if name == kind.__struct_config__.tag_field:
            continue
        if name not in known:
            faults.append(FieldError(name, _unknown(name, known)))
        elif not _fits(content, known[name].type, strict=strict):
            faults.extend(
                _inside(content, known[name].type, name, strict=strict) or [FieldError(name, rule(kind, name))]
            )
    faults.extend(
        FieldError(name, f"is required: {_sentence(field.type)}")
        for name, field in known.items()
        if field.required and name not in value
    )
    return faults or [FieldError("body", "is not valid")]


def _inside(content: object, kind: Any, name: str, *, strict: bool) -> list[FieldError]:  # noqa: ANN401 - any type that msgspec knows
    """The faults of what should be an object in the field `name`; none where it should be anything else."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    if not isinstance(content, dict):
        return [FieldError(name, "must be a JSON object")]
    return within(name, _faults(content, kind, strict=strict))


def _fits(content: object, kind: Any, *, strict: bool) -> bool:  # noqa: ANN401 - any type that msgspec knows
    try:
        return msgspec.convert(content, kind, strict=strict) is not UNSET
    except msgspec.ValidationError:
        return False


def _unknown(name: str, known: Mapping[str, FieldInfo]) -> str:
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    return f"is not known; {hint}known are {', '.join(known)}" if known else "is not known; there is none to send"
