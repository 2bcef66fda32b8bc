"""Rate limits: how often one user, or one network, may do something; counted in memory, or in Redis by `limits`."""

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

# A counter that is away must not hold a request up for long.
REDIS_OPTIONS = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
RETRY_STORAGE = 5.0  # seconds that each worker counts for itself after the shared storage failed
MAXIMUM_KEYS = 100_000  # keys with a counter of their own, in each window of each limit
SHARED_COUNTERS = 2**14  # for the keys beyond that


class Allowance(NamedTuple):
    """What a client may still do: the policy's `quota` in `window` seconds, what `remains` of it and until when."""

    allowed: bool
    quota: int
    window: int
    remains: int
    resets_in: int  # seconds


class SlidingWindow:
    """Counts hits per key in memory; the cost of a hit does not depend on the number of keys.

    The algorithm is the sliding window counter of `limits`: the hits of the current window, plus those of the window
    before, weighted by the part of it that the last `seconds` still cover. The windows of all keys begin at the same
    moment, so counters expire as a whole dictionary, and no hit has to look for expired keys.

    Memory is bounded. Once a window holds `maximum` keys, further keys share SHARED_COUNTERS counters by their hash
    until the window ends. A key that has a counter keeps it, so sending many other keys never resets a limit; a key
    that shares one may be refused early, never late.
    """

    def __init__(
        self, amount: int, seconds: int, *, clock: Callable[[], float] = monotonic, maximum: int = MAXIMUM_KEYS
    ) -> None:
        """Allow `amount` hits of each key in `seconds`."""
        self._amount = amount
        self._seconds = seconds
        self._clock = clock
        self._maximum = maximum
        self._window = 0  # which one is current, counted from the clock's zero
        # By the hash of the key: it is salted for each process, and a key may be a kilobyte long.
        self._current: dict[int, int] = {}
        self._previous: dict[int, int] = {}

    def hit(self, key: str) -> Allowance:
        """Count one hit of `key` if it is allowed, and return what remains. Refused hits do not count."""
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
        """Return the number of counters that are kept."""
        return len(self._current) + len(self._previous)


class RateLimiter:
    """Limits how often a key may be hit in a sliding window.

    With a shared storage all processes count together. While the storage does not answer, each process counts for
    itself: a limit that is too generous for a moment is better than a service that is down.
    """

    def __init__(self, name: str, rate: str, storage: str) -> None:
        """Allow `rate`, such as 600/minute, per key; `storage` is `memory` or a Redis URL.

        Raises ConfigurationError when the storage's client library is not installed.
        """
        self._name = name
        self._rate = parse(rate)
        self._own = SlidingWindow(self._rate.amount, self._rate.get_expiry())
        self._shared = None if storage == "memory" else SlidingWindowCounterRateLimiter(_open(storage))
        self._shared_failed_at = float("-inf")
        self._outage = Outage(
            logger, lost="rate limit storage does not answer; counting alone", back="rate limit storage answers again"
        )

    async def hit(self, key: str) -> Allowance:
        """Count one hit of `key` if it is allowed, and return what remains."""
        if self._shared is not None and monotonic() - self._shared_failed_at > RETRY_STORAGE:
            try:
                allowance = await self._hit_shared(self._shared, key)
            except Exception as error:  # noqa: BLE001 - each storage fails in its own words
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
    """Make the limiter for `rate`, or None when it is `off`. Raises as RateLimiter does."""
    return None if rate == "off" else RateLimiter(name, rate, storage)


def network_of(address: str) -> str:
    """Return the network that `address` is counted by: an IPv4 address, or the /64 of an IPv6 address.

    One site gets a /64 at least (RFC 6177), so it can send from 2**64 addresses. Brackets and a port, which some
    proxies add, are dropped. Text that is no address is returned as it is.
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
    except Exception:  # noqa: BLE001 - each storage fails in its own words, which may hold the URL's password
        raise ConfigurationError(
            "RATE_LIMIT_STORAGE cannot be used; check the URL, and install its client: pip install 'doable[redis]'."
        ) from None
    assert isinstance(storage, Storage)  # noqa: S101 - that is what async+ asks for
    return storage
