"""Media types (RFC 9110 section 8.3.1): one parser for every route that reads a body or negotiates an answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from sanic import Request

from service.errors import UnsupportedMediaTypeError

NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TYPE = re.compile(rf"[ \t]*({NAME}/{NAME})[ \t]*", re.ASCII)
# A parameter, or nothing between two semicolons (section 5.6.6). White space around `=` is no part of the grammar,
# but it has one meaning only.
PARAMETER = re.compile(rf';[ \t]*(?:({NAME})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^";]*))?[ \t]*', re.ASCII)
ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
MAXIMUM_ACCEPT = 1_000  # characters that are read of an Accept header; those of browsers have 150
UTF_8 = frozenset({"utf-8", "utf8"})


class MediaType(NamedTuple):
    """A media type in lower case, and its parameters: the names in lower case, the values without their quotes."""

    name: str
    parameters: Sequence[tuple[str, str]]

    def values(self, parameter: str) -> list[str]:
        """All values of a parameter, in lower case."""
        return [value.lower() for name, value in self.parameters if name == parameter]


@lru_cache(maxsize=100)
def parse(text: str) -> MediaType:
    """Parse a Content-Type, or one element of Accept. Raises ValueError for text that is no media type."""
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
    """Return the media type of the request's body, which is one of `accepted`.

    Of the parameters only `charset` counts, and must be UTF-8. Raises UnsupportedMediaTypeError, which says whether
    the type, the charset or the content coding is at fault.
    """
    headers = request.headers
    codings = headers.getall("content-encoding", ())
    if codings and any(coding.strip(" \t").lower() not in {"", "identity"} for coding in ",".join(codings).split(",")):
        raise UnsupportedMediaTypeError(
            "Send the body uncompressed: no Content-Encoding is understood.", "Accept-Encoding", "identity"
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
            "Send the body in UTF-8: no other charset in the Content-Type header is understood.",
            "Accept", f"{found.name}; charset=utf-8",
        )  # fmt: skip
    return found.name


def preferred(accept: str, offered: Sequence[str]) -> str:
    """Return which of the `offered` media types an Accept header prefers (RFC 9110 section 12.5.1).

    Equal weights keep the order of `offered`. The first of them is the default, where the header names none: an answer
    in another form is more useful than 406. Raises ValueError for a header with anything but media ranges.
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
    """The weight of the most specific range that holds `name`."""
    for covering in (name, f"{name.partition('/')[0]}/*", "*/*"):
        weights = [weight for covered, weight in ranges if covered == covering]
        if weights:
            return max(weights)
    return 0.0


def _unquoted(value: str) -> str:
    """The value without its quotes. Single ones mean nothing in HTTP, but clients send them around a charset."""
    if value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value
