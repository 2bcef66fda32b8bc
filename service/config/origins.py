"""Parse browser origins, for the setting CORS_ORIGINS and for the `Origin` header.

https://html.spec.whatwg.org/multipage/browsers.html#concept-origin
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import idna

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

DEFAULT_PORTS = {"http": "80", "https": "443"}
WITHOUT_HOST = frozenset({"about", "blob", "data", "file", "javascript"})  # their pages have the origin `null`
ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\%,]+)(?::0*([1-9]\d{0,4}))?", re.ASCII | re.IGNORECASE
)
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
PATTERN = re.compile(r"[a-z0-9-]*\*[a-z0-9-]*")
ANY_LABEL = "[a-z0-9-]{1,63}"
INVALID_HOST = "its host is neither a domain name nor an IP address"
MAXIMUM_PORT = 65_535
MAXIMUM_ORIGIN = 300  # characters: a scheme, a host name of at most 253, a port


def normalise(text: str) -> str:
    """Return the origin in `text` in the form that browsers send: lower case, IDNA host, no default port.

    Raises ValueError with the reason if `text` is not the origin of one site.
    """
    scheme, host, port = _split(text)
    return _join(scheme, _host(scheme, host), port)


def setting(text: str) -> str:
    """Return one entry of the allow-list, normalised. It may end in one slash and may contain one `*`.

    The `*` matches a part of the host's first label, or the whole label, and never a dot. It is allowed only with
    https:// and http://. Raises ValueError with the reason if the entry is invalid.
    """
    text = text.removesuffix("/")
    if text == "*":
        raise ValueError("'*' would allow every website to call the API; list the origins of your own pages")
    if text.lower() == "null":
        raise ValueError(
            "'null' is the origin of sandboxed frames and local files of any author; serve the page over http"
        )
    scheme, host, port = _split(text)
    if "*" not in host:
        return _join(scheme, _host(scheme, host), port)
    first, _, parent = host.lower().partition(".")
    if scheme not in DEFAULT_PORTS or not PATTERN.fullmatch(first) or "*" in parent or not parent:
        raise ValueError("'*' is allowed once, in the first label of an https:// host, as in https://*.example.com")
    parent = _host(scheme, parent)
    if _is_open(parent, anyone=first == "*"):
        raise ValueError(
            f"anyone can register a host under {parent}; write a part of your own name, as in "
            "https://my-app-*.vercel.app"
        )
    return _join(scheme, f"{first}.{parent}", port)


class AllowList:
    """The origins whose pages may read responses."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Store `entries`, which `setting` must have normalised."""
        listed = frozenset(entries)
        self._origins = frozenset(entry for entry in listed if "*" not in entry)
        patterns = (re.escape(entry).replace(r"\*", ANY_LABEL) for entry in sorted(listed - self._origins))
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def allows(self, origin: str) -> bool:
        """Return whether the value of an `Origin` header is on the list. An invalid value is not."""
        if origin in self._origins:
            return True  # the usual case, because browsers send normalised origins
        if len(origin) > MAXIMUM_ORIGIN:
            return False
        try:
            origin = normalise(origin)
        except ValueError:
            return False
        return origin in self._origins or any(pattern.fullmatch(origin) for pattern in self._patterns)


def _split(text: str) -> tuple[str, str, str]:
    found = ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("write scheme://host or scheme://host:port, without a path, a user or spaces")
    scheme, host, port = found[1].lower(), found[2], found[3] or ""
    if scheme in WITHOUT_HOST:
        raise ValueError(
            f"browsers send 'null' for pages of {scheme}:, and anyone can create such pages; serve the page over http"
        )
    if port and int(port) > MAXIMUM_PORT:
        raise ValueError(f"a port is a number from 1 to {MAXIMUM_PORT}")
    return scheme, host, "" if port == DEFAULT_PORTS.get(scheme) else port


def _join(scheme: str, host: str, port: str) -> str:
    return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"


def _host(scheme: str, host: str) -> str:
    """Return the host in the form that browsers send. Raises ValueError if it is not a valid host."""
    host = host.lower()
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode()
        labels = host.split(".")
        if scheme in DEFAULT_PORTS and labels[-1].isdigit():
            return str(ipaddress.IPv4Address(host))
    except ValueError:  # idna's own errors are subclasses of it
        raise ValueError(INVALID_HOST) from None
    if not all(map(LABEL.fullmatch, labels)):
        raise ValueError(INVALID_HOST)
    return host


def _is_open(parent: str, *, anyone: bool) -> bool:
    """Return whether `parent` is a public suffix, under which anyone can register a host (https://publicsuffix.org).

    The suffixes of hosting platforms, such as vercel.app, count only if `anyone` is true, that is, for the label `*`. A
    label such as my-app-* is allowed there, because the preview deployments of one app share a part of their label, as
    in my-app-git-main-my-team.vercel.app.
    """
    return bool(_suffixes(only_icann=not anyone).is_public(parent))


@cache
def _suffixes(*, only_icann: bool) -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - it needs 2 MB and time to load, and few deployments need it

    return PublicSuffixList(only_icann=only_icann, accept_unknown=False)
