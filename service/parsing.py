"""How the text of an environment variable becomes a setting's value.

Each function raises ValueError with the words that follow "NAME must be …".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from service import origins

# Published in Better Auth's source as the fallback that it uses, with a warning, when no secret is configured.
BETTER_AUTH_DEFAULT_SECRET = "better-auth-secret-12345678901234567890"  # noqa: S105 - a value to refuse, not a secret
MINIMUM_SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as the hash
SHARED_ALGORITHMS = ("HS256",)
PUBLISHED_ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
ALGORITHMS = SHARED_ALGORITHMS + PUBLISHED_ALGORITHMS
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
ORIGIN_LIST = "a comma-separated list of origins such as https://app.example.com"
MAXIMUM_SHOWN = 80  # characters of a wrong entry
RATE = re.compile(r"(\d{1,7})/(second|minute|hour|day)")


def text(value: str) -> str:
    """Take any text."""
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    """Take whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Take numbers of seconds from `low` to `high`, in milliseconds at the finest."""

    def parse(value: str) -> float:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) or not low <= float(value) <= high:
            raise ValueError(f"a number of seconds from {low:g} to {high:g}")
        return float(value)

    return parse


def switch(value: str) -> bool:
    """Take what people write for on and off."""
    words = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    if value.lower() not in words:
        raise ValueError("1 or 0")
    return words[value.lower()]


def one_of(*choices: str) -> Callable[[str], str]:
    """Take one of `choices`, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return value.lower()

    return parse


def origin_list(value: str) -> tuple[str, ...]:
    """Take a list of browser origins, separated by commas; the wrong one is named, for it is no secret."""
    found = []
    for entry in words(value):
        try:
            found.append(origins.setting(entry))
        except ValueError as error:
            shown = "with a user" if "@" in entry else ascii(entry[:MAXIMUM_SHOWN])
            raise ValueError(f"{ORIGIN_LIST}; entry {shown} is none: {error}") from None
    return tuple(dict.fromkeys(found))


def words(value: str) -> tuple[str, ...]:
    """Take a list, separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def algorithms(value: str) -> tuple[str, ...]:
    """Take a list of JWS algorithms (RFC 7518 section 3.1) that we can verify."""
    if not set(words(value)) <= set(ALGORITHMS):
        raise ValueError(f"a comma-separated list of {', '.join(ALGORITHMS)}")
    return words(value)


def web_address(value: str) -> str:
    """An address that keys may be fetched from: nobody on the way may change them, so TLS, or this machine."""
    try:
        parts = urlsplit(value)
        safe = parts.scheme == "https" or (parts.scheme == "http" and LOOPBACK.fullmatch(parts.hostname or ""))
        usable = bool(parts.hostname) and not ("@" in parts.netloc or parts.query or parts.fragment) and parts.port != 0
    except ValueError:
        safe = usable = False
    if not (safe and usable):
        raise ValueError("an https:// address (http:// only for localhost), without user, query or fragment")
    return value.rstrip("/")


def collector(value: str) -> str:
    """An address that traces are sent to, often inside a network of one's own, where nobody has certificates."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        usable = usable and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("an http:// or https:// address without user")
    return value


def rate(value: str) -> str:
    """Take a number of requests in a unit of time, or `off`."""
    if value.lower() != "off" and not (RATE.fullmatch(value.lower()) and int(value.split("/", 1)[0])):
        raise ValueError("off, or a number of requests per second, minute, hour or day such as 600/minute")
    return value.lower()


def rate_storage(value: str) -> str:
    """Take where requests are counted."""
    if value != "memory" and not value.startswith(("redis://", "rediss://", "redis+cluster://", "redis+sentinel://")):
        raise ValueError("memory, or the URL of a Redis such as redis://host:6379/0")
    return value


def secret(value: str) -> str:
    """Take a secret that signs tokens."""
    if len(value.encode()) < MINIMUM_SECRET_BYTES:
        raise ValueError(f"at least {MINIMUM_SECRET_BYTES} bytes long (try: openssl rand -base64 32)")
    if value == BETTER_AUTH_DEFAULT_SECRET:
        raise ValueError("a secret of your own: this one is Better Auth's published default, which everybody knows")
    return value


def token(value: str) -> str:
    """Take a bearer token that can be sent in a header (RFC 6750 section 2.1)."""
    if not re.fullmatch(r"[!-+\--~]{16,}", value):
        raise ValueError("at least 16 visible ASCII characters, without spaces and commas (try: openssl rand -hex 32)")
    return value
