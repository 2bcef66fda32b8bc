"""Check the syntax of HTTP/1.1 messages (RFC 9112), as strictly as is necessary behind a proxy.

If a proxy and the service parse the same bytes as different messages, an attacker can smuggle a request past the proxy.
Sanic's own parser accepts a bare LF, control characters, names that are not tokens, two Host headers and several
spellings of a number. The functions here raise BadRequest. It becomes a 400 and closes the connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sanic.exceptions import BadRequest

if TYPE_CHECKING:
    from sanic.compat import Header

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 section 5.6.2
# RFC 9112 section 3.2, without the authority form of CONNECT. Sanic would treat `*x` as `/x`.
_LINE = _TOKEN + rb" (?:/[\x21-\x7e]*+|[A-Za-z][A-Za-z0-9+.\-]*+://[\x21-\x7e]++)|OPTIONS \*"
_FIELD = _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+"  # RFC 9112 section 5, without the obsolete line folding
HEAD = re.compile(b"(?:" + _LINE + rb") HTTP/1\.[01](?:\r\n" + _FIELD + b")*+")
FIELD = re.compile(_FIELD)
# RFC 9112 section 7.1: a size in hexadecimal digits, and extensions, which must be ignored.
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
# Python's strip() treats U+00A0 and others as white space, so a length after one would count as a number.
FRAMING_BEYOND_ASCII = re.compile(
    rb"\r\n(?:host|content-length|transfer-encoding|connection|expect):[^\r]*[\x80-\xff]", re.IGNORECASE
)
# RFC 9112 section 6.3. Python's int() would also accept signs, underscores, white space and digits of any script.
LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
# RFC 9110 section 4.2.1 and RFC 3986 section 3.2.2. The host is empty if the target has no authority.
HOST = re.compile(
    r"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\])"
    r"(?::[0-9]{0,5})?"
)


def check_head(head: bytes) -> None:
    """Check the request line and the header lines. `head` must not include the empty line at their end."""
    if not HEAD.fullmatch(head):
        raise BadRequest("the head violates RFC 9112")
    if not head.isascii() and FRAMING_BEYOND_ASCII.search(head):
        raise BadRequest("a header for the framing of the message is not ASCII")


def check_headers(headers: Header, version: str) -> None:
    """Check the headers for the framing and the target of the message. `version` is 1.0 or 1.1.

    Replace the transfer coding by its name in lower case, because Sanic knows no other. RFC 9112 section 7 allows any
    case.
    """
    hosts = headers.getall("host", ())
    if len(hosts) != 1 and (hosts or version == "1.1"):  # RFC 9112 section 3.2
        raise BadRequest("not exactly one Host header")
    if hosts and not _is_host(hosts[0]):
        raise BadRequest("an invalid Host header")
    if "transfer-encoding" in headers:
        if len(headers.getall("transfer-encoding")) > 1 or "content-length" in headers:  # section 6.3
            raise BadRequest("several headers for the framing of the message")
        if version == "1.0" or headers["transfer-encoding"].lower() != "chunked":  # section 6.1
            raise BadRequest("a transfer coding other than chunked, or in HTTP/1.0")
        headers["transfer-encoding"] = "chunked"
    elif "content-length" in headers:
        lengths = headers.getall("content-length")
        if len(lengths) > 1 or not LENGTH.fullmatch(lengths[0]):
            raise BadRequest("an invalid Content-Length, or two of them")


@lru_cache(maxsize=100)
def _is_host(text: str) -> bool:
    return HOST.fullmatch(text) is not None


def chunk_size(line: bytes) -> int:
    """Return the number of bytes in a chunk, from the line before it."""
    found = CHUNK.fullmatch(line)
    if found is None:
        raise BadRequest("an invalid chunk size")
    return int(found[1], 16)


def check_trailer(line: bytes) -> None:
    """Check a line of the trailer section."""
    if not FIELD.fullmatch(line):
        raise BadRequest("an invalid trailer")
