"""Parsers: each converts the text of an environment variable into the value of a setting.

Each raises ValueError with the end of a sentence that begins with "NAME must be".
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from service.config import origins

# Published in Better Auth's source as the fallback that it uses, with a warning, when no secret is configured.
BETTER_AUTH_DEFAULT_SECRET = "better-auth-secret-12345678901234567890"  # noqa: S105 - a published value to refuse, not a secret
MINIMUM_SECRET_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as the hash
LONG_ENOUGH = f"at least {MINIMUM_SECRET_BYTES} bytes long (try: openssl rand -base64 32)"
SHARED_ALGORITHMS = ("HS256",)
PUBLISHED_ALGORITHMS = ("EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256")
# RFC 9864 names the curve in the algorithm. With Ed25519 keys it is the same as EdDSA in RFC 8037.
ALGORITHM_ALIASES = {"Ed25519": "EdDSA"}
ALGORITHMS = SHARED_ALGORITHMS + PUBLISHED_ALGORITHMS
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
ORIGIN_LIST = "a comma-separated list of origins such as https://app.example.com"
MAXIMUM_SHOWN = 80  # characters of an invalid entry
# Names that public DNS does not resolve: a single label, and the domains of RFC 6762, RFC 8375, Kubernetes and ICANN.
PRIVATE_NAME = re.compile(r"[a-z0-9_-]+|([a-z0-9_-]+\.)+(internal|local|lan|home\.arpa|svc)", re.IGNORECASE)
RATE = re.compile(r"(\d{1,7})/(second|minute|hour|day)")
WEB_ADDRESS = (
    "an https:// address (http:// only for localhost, or in a private network with ALLOW_INSECURE_ISSUER=1), without "
    "user, query or fragment"
)
VERSIONED = re.compile(r"\d{1,9}:(?P<secret>.+)", re.DOTALL)


def text(value: str) -> str:
    """Accept any text."""
    return value


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of numbers of seconds from `low` to `high`, with at most three decimals."""

    def parse(value: str) -> float:
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) or not low <= float(value) <= high:
            raise ValueError(f"a number of seconds from {low:g} to {high:g}")
        return float(value)

    return parse


def switch(value: str) -> bool:
    """Parse a boolean: 1, true, on or yes; 0, false, off or no; in any case."""
    words = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    if value.lower() not in words:
        raise ValueError("1 or 0")
    return words[value.lower()]


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts one of `choices`, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return value.lower()

    return parse


def origin_list(value: str) -> tuple[str, ...]:
    """Parse a comma-separated list of browser origins. The error quotes the invalid entry, which is not a secret."""
    found = []
    for entry in words(value):
        try:
            found.append(origins.setting(entry))
        except ValueError as error:
            shown = "with a user" if "@" in entry else ascii(entry[:MAXIMUM_SHOWN])
            raise ValueError(f"{ORIGIN_LIST}; entry {shown} is invalid: {error}") from None
    return tuple(dict.fromkeys(found))


def words(value: str) -> tuple[str, ...]:
    """Parse a comma-separated list. Ignore spaces around an item, and empty items. All lists are parsed here."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def algorithms(value: str) -> tuple[str, ...]:
    """Parse a comma-separated list of supported JWS algorithms (RFC 7518 section 3.1, RFC 9864)."""
    found = tuple(ALGORITHM_ALIASES.get(word, word) for word in words(value))
    if not set(found) <= set(ALGORITHMS):
        raise ValueError(f"a comma-separated list of {', '.join(ALGORITHMS)}")
    return tuple(dict.fromkeys(found))


def web_address(value: str) -> str:
    """Accept the address of a key set. It must be protected or in a private network."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and not ("@" in parts.netloc or parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable or not (is_protected(value) or is_private(value)):
        raise ValueError(WEB_ADDRESS)
    return value.rstrip("/")


def auth_server(value: str) -> str:
    """Accept the address of Better Auth. It must have an origin, because the tokens name it."""
    address = web_address(value)
    try:
        origin_of(address)
    except ValueError:
        raise ValueError("an https:// address whose host is a domain name or an IP address") from None
    return address


def origin_of(address: str) -> str:
    """Return the origin of a web address, normalised as browsers and Better Auth do: `new URL(address).origin`.

    Raises ValueError if its host is neither a domain name nor an IP address.
    """
    parts = urlsplit(address)
    return origins.normalise(f"{parts.scheme}://{parts.netloc.removesuffix(':')}")


def is_protected(address: str) -> bool:
    """Return whether TLS or the loopback interface protects the responses of `address` against changes in transit."""
    parts = urlsplit(address)
    return parts.scheme == "https" or bool(LOOPBACK.fullmatch(parts.hostname or ""))


def is_private(address: str) -> bool:
    """Return whether `address` is in a private network, by its IP (RFC 1918, RFC 4193) or the form of its name."""
    host = urlsplit(address).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_private
    return bool(PRIVATE_NAME.fullmatch(host))


def collector(value: str) -> str:
    """Accept the address of a trace collector. Plain http is allowed, because private networks often have no TLS."""
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
    """Accept a number of requests per unit of time, or `off`."""
    if value.lower() != "off" and not (RATE.fullmatch(value.lower()) and int(value.split("/", 1)[0])):
        raise ValueError("off, or a number of requests per second, minute, hour or day such as 600/minute")
    return value.lower()


def rate_storage(value: str) -> str:
    """Accept the storage of rate limit counters: `memory` or the URL of a Redis."""
    if value != "memory" and not value.startswith(("redis://", "rediss://", "redis+cluster://", "redis+sentinel://")):
        raise ValueError("memory, or the URL of a Redis such as redis://host:6379/0")
    return value


def secret_or_secrets(value: str) -> str:
    """Accept a secret that signs tokens, or a list of secrets. `split_secrets` distinguishes the two."""
    check_secrets(split_secrets(value))
    return value


def split_secrets(value: str) -> tuple[str, ...]:
    """Parse secrets separated by commas. If no part is long enough, the comma belongs to a single secret.

    Raises ValueError if only some parts are long enough, because the text is ambiguous then.
    """
    parts = words(value)
    long_enough = [_is_long_enough(part) for part in parts]
    if any(long_enough) and not all(long_enough):
        raise ValueError(f"a list in which each secret is {LONG_ENOUGH}")
    return parts if any(long_enough) else (value,) if value else ()


def check_secrets(secrets: tuple[str, ...]) -> None:
    """Raise ValueError for a secret that can be guessed, because it is too short or published."""
    if not all(map(_is_long_enough, secrets)):
        raise ValueError(LONG_ENOUGH)
    if BETTER_AUTH_DEFAULT_SECRET in secrets:
        raise ValueError("a secret of your own: this one is Better Auth's default, which is published in its source")


def versioned_secrets(value: str) -> tuple[str, ...]:
    """Parse secrets in the format of Better Auth's own variable, the current one first: `2:new,1:old`."""
    found = [VERSIONED.fullmatch(word) for word in words(value)]
    if not found or not all(found):
        raise ValueError("a list of versions and secrets such as 2:new-secret,1:old-secret, the current one first")
    secrets = tuple(one["secret"] for one in found if one)
    check_secrets(secrets)
    return secrets


def _is_long_enough(secret: str) -> bool:
    return len(secret.encode()) >= MINIMUM_SECRET_BYTES


def token(value: str) -> str:
    """Accept a bearer token that can be sent in a header (RFC 6750 section 2.1)."""
    if not re.fullmatch(r"[!-+\--~]{16,}", value):
        raise ValueError("at least 16 visible ASCII characters, without spaces and commas (try: openssl rand -hex 32)")
    return value
