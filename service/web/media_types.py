"""Parse media types (RFC 9110 section 8.3.1), for all routes that read a body or negotiate a response."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from sanic import Request

from service.errors import UnsupportedMediaTypeError

NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TYPE = re.compile(rf"[ \t]*({NAME}/{NAME})[ \t]*", re.ASCII)
# A parameter, or nothing between two semicolons (section 5.6.6). The grammar has no white space around `=`, but it is
# unambiguous.
PARAMETER = re.compile(rf';[ \t]*(?:({NAME})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^";]*))?[ \t]*', re.ASCII)
ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
MAXIMUM_ACCEPT = 1_000  # characters of an Accept header that are read; browsers send about 150
UTF_8 = frozenset({"utf-8", "utf8"})


class MediaType(NamedTuple):
    """A media type: its name in lower case, and its parameters, with names in lower case and values without quotes."""

    name: str
    parameters: Sequence[tuple[str, str]]

    def values(self, parameter: str) -> list[str]:
        """Return all values of a parameter, in lower case."""
        return [value.lower() for name, value in self.parameters if name == parameter]


@lru_cache(maxsize=100)
def parse(text: str) -> MediaType:
    """Parse a Content-Type, or one element of Accept. Raises ValueError if `text` is no media type."""
    found = TYPE.match(text)
    if found is None:
        raise ValueError("not a media type")
    parameters, at = [], found.end()
    while at < len(text):
        parameter = PARAMETER.match(text, at)
        if parameter is None:
            raise ValueError("not a parameter")
        if parameter[1]:
            parameters.append((parameter[1].lower(), _unquoted(parameter[2].rstrip(" \t"))))
        at = parameter.end()
    return MediaType(found[1].lower(), tuple(parameters))


def of_body(request: Request, accepted: Collection[str]) -> str:
    """Return the media type of the request's body, which must be one of `accepted`.

    The only parameter that counts is `charset`, which must be UTF-8. Raises UnsupportedMediaTypeError. Its message says
    whether the type, the charset or the content coding is not supported.
    """
    headers = request.headers
    codings = headers.getall("content-encoding", ())
    if codings and any(coding.strip(" \t").lower() not in {"", "identity"} for coding in ",".join(codings).split(",")):
        raise UnsupportedMediaTypeError(
            "Send the body uncompressed: no Content-Encoding is supported.", "Accept-Encoding", "identity"
        )
    try:
        found = parse(",".join(headers.getall("content-type", ())))
    except ValueError:
        found = MediaType("", ())
    if found.name not in accepted:
        quoted, names = "' or '".join(sorted(accepted)), ", ".join(sorted(accepted))
        raise UnsupportedMediaTypeError(f"Send the body with the header 'Content-Type: {quoted}'.", "Accept", names)
    if found.parameters and not UTF_8.issuperset(found.values("charset")):
        raise UnsupportedMediaTypeError(
            "Send the body in UTF-8: no other charset in the Content-Type header is supported.",
            "Accept", f"{found.name}; charset=utf-8",
        )  # fmt: skip
    return found.name


def preferred(accept: str, offered: Sequence[str]) -> str:
    """Return the one of the `offered` media types that an Accept header prefers (RFC 9110 section 12.5.1).

    With equal weights, the order of `offered` decides. If the header accepts none of them, return the first one: a
    response in another type is more useful than 406. Raises ValueError for a header that is not a list of media ranges.
    """
    ranges = [*_ranges(accept)]
    weights = {name: _weight(name, ranges) for name in offered}
    best = max(offered, key=weights.__getitem__)
    return best if weights[best] > 0 else offered[0]


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for element in filter(str.strip, ELEMENT.findall(accept[:MAXIMUM_ACCEPT])):
        found = parse(element)
        weight = (found.values("q") or ["1"])[-1]
        if not WEIGHT.fullmatch(weight):
            raise ValueError("not a weight")
        yield found.name, float(weight)


def _weight(name: str, ranges: list[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that includes `name`; 0 if none does."""
    for covering in (name, f"{name.partition('/')[0]}/*", "*/*"):
        weights = [weight for covered, weight in ranges if covered == covering]
        if weights:
            return max(weights)
    return 0.0


def _unquoted(value: str) -> str:
    """Return the value without quotes. HTTP has no single quotes, but some clients send a charset in them."""
    if value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value
