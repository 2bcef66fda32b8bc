"""Rate limits per user and per client network. Counters are in memory, or in Redis with the package `limits`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address
from math import ceil, floor, inf
from time import monotonic, time
from typing import NamedTuple

from limits import parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from service.errors import ConfigurationError
from service.logs.outages import Outage

logger = logging.getLogger("doable.limits")

# An unavailable storage must not delay a request for long.
REDIS_OPTIONS = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
RETRY_STORAGE = 5.0  # seconds for which each worker counts separately after a failure of the shared storage
MAXIMUM_KEYS = 100_000  # keys with their own counter, in each window of each limit
SHARED_COUNTERS = 2**14  # counters for the keys beyond that


class Allowance(NamedTuple):
    """The state of a client's limit: `quota` hits in `window` seconds, and how many of them remain."""

    allowed: bool
    quota: int
    window: int
    remains: int
    resets_in: int  # seconds


class SlidingWindow:
    """Counts hits per key in memory. The cost of a hit does not depend on the number of keys.

    The algorithm is the sliding window counter of `limits`. It adds the hits of the current window to those of the
    previous window, weighted by the part of it that is within the last `seconds`. The windows of all keys begin at the
    same time, so a whole dictionary of counters expires at once, and a hit never searches for expired keys.

    Memory is limited. When a window has `maximum` keys, further keys share SHARED_COUNTERS counters by their hash until
    the window ends. A key that has a counter keeps it, so sending many other keys never resets a limit. A key with a
    shared counter may be refused too early, but never too late.
    """

    def __init__(
        self, amount: int, seconds: int, *, clock: Callable[[], float] = monotonic, maximum: int = MAXIMUM_KEYS
    ) -> None:
        """Allow `amount` hits of each key in `seconds`. `maximum` is the number of keys with their own counter."""
        self._amount = amount
        self._seconds = seconds
        self._clock = clock
        self._maximum = maximum
        self._window = 0  # the number of the current window, counted from the clock's zero
        # Counters by the hash of the key, because a key may be a kilobyte long. Each process salts its hashes.
        self._current: dict[int, int] = {}
        self._previous: dict[int, int] = {}

    def hit(self, key: str) -> Allowance:
        """Count one hit of `key` if it is allowed, and return the state of its limit. Refused hits do not count."""
        window, passed = divmod(self._clock(), self._seconds)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else {}
            self._current = {}
            self._window = int(window)
        hashed = hash(key)
        shared = hashed % SHARED_COUNTERS
        mine = hashed if hashed in self._current or len(self._current) < self._maximum else shared
        count = self._current.get(mine, 0)
        before = self._previous.get(hashed) or self._previous.get(shared, 0)
        left = self._seconds - passed
        weighted = floor(before * left / self._seconds + count)
        allowed = weighted < self._amount
        if allowed:
            self._current[mine] = count = count + 1
            weighted += 1
        resets_in = min(left % (self._seconds / before) if before else inf, left if count else inf)
        return Allowance(allowed, self._amount, self._seconds, max(0, self._amount - weighted), max(1, ceil(resets_in)))

    def __len__(self) -> int:
        """Return the number of counters."""
        return len(self._current) + len(self._previous)


class RateLimiter:
    """Limits the hits of a key in a sliding window.

    With a shared storage, all processes share the counters. While the storage does not answer, each process counts
    separately: a limit that is temporarily too high is better than an unavailable service.
    """

    def __init__(self, name: str, rate: str, storage: str) -> None:
        """Allow `rate`, such as 600/minute, per key. `storage` is `memory` or the URL of a Redis.

        Raises ConfigurationError if the client library of the storage is not installed.
        """
        self._name = name
        self._rate = parse(rate)
        self._own = SlidingWindow(self._rate.amount, self._rate.get_expiry())
        self._shared = None if storage == "memory" else SlidingWindowCounterRateLimiter(_open(storage))
        self._shared_failed_at = float("-inf")
        self._outage = Outage(
            logger, lost="rate limit storage does not answer; each worker counts separately",
            back="rate limit storage answers again",
        )  # fmt: skip

    async def hit(self, key: str) -> Allowance:
        """Count one hit of `key` if it is allowed, and return the state of its limit."""
        if self._shared is not None and monotonic() - self._shared_failed_at > RETRY_STORAGE:
            try:
                allowance = await self._hit_shared(self._shared, key)
            except Exception as error:  # noqa: BLE001 - each storage has its own errors
                self._shared_failed_at = monotonic()
                self._outage.failed(type(error).__name__, limit=self._name)
            else:
                self._outage.recovered(limit=self._name)
                return allowance
        return self._own.hit(key)

    async def _hit_shared(self, counter: SlidingWindowCounterRateLimiter, key: str) -> Allowance:
        allowed = await counter.hit(self._rate, self._name, key)
        stats = await counter.get_window_stats(self._rate, self._name, key)
        resets_in = max(1, ceil(stats.reset_time - time()))
        return Allowance(allowed, self._rate.amount, self._rate.get_expiry(), stats.remaining, resets_in)


def rate_limiter(name: str, rate: str, storage: str) -> RateLimiter | None:
    """Return the limiter for `rate`, or None if it is `off`. Raises the errors of RateLimiter."""
    return None if rate == "off" else RateLimiter(name, rate, storage)


def network_of(address: str) -> str:
    """Return the network of `address` for the counters: an IPv4 address itself, or the /64 of an IPv6 address.

    One site has at least a /64 (RFC 6177), so it can send from 2**64 addresses. Remove brackets and a port, which some
    proxies add. Return a text that is no address unchanged.
    """
    host, bracket, _ = address.removeprefix("[").partition("]")
    if not bracket and address.count(":") == 1:
        host = address.partition(":")[0]
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found) >> 64 << 64, 64)))


def _open(url: str) -> Storage:
    try:
        storage = storage_from_string(f"async+{url}", implementation="redispy", **REDIS_OPTIONS)
    except Exception:  # noqa: BLE001 - each storage has its own errors, and they may contain the URL's password
        raise ConfigurationError(
            "RATE_LIMIT_STORAGE cannot be used; check the URL, and install its client: pip install 'doable[redis]'."
        ) from None
    assert isinstance(storage, Storage)  # noqa: S101 - `async+` selects this class
    return storage
