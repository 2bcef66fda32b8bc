"""Rate limits: how often one user, or one address, may do something; counted by the `limits` library."""

from __future__ import annotations

import logging
from math import ceil
from time import monotonic, time
from typing import NamedTuple

from limits import parse
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from service.errors import ConfigurationError

logger = logging.getLogger("doable.limits")

# A counter that is away must not hold a request up for long.
REDIS_OPTIONS = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25}
RETRY_STORAGE = 5.0  # seconds that we count for ourselves after the shared counter failed


class Allowance(NamedTuple):
    """What a client may still do: the policy's `quota` in `window` seconds, what `remains` of it and until when."""

    allowed: bool
    quota: int
    window: int
    remains: int
    resets_in: int  # seconds


class RateLimiter:
    """Counts what is done under a key in a sliding window.

    With a shared storage all processes count together. While that is away each counts for itself: a limit that is
    somewhat too generous for a moment is better than a service that is down.
    """

    def __init__(self, name: str, rate: str, storage: str) -> None:
        """Allow `rate`, such as 600/minute, per key; `storage` is `memory` or a Redis URL.

        Raises ConfigurationError when the storage's client library is not installed.
        """
        self._name = name
        self._rate = parse(rate)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if storage == "memory" else SlidingWindowCounterRateLimiter(_open(storage))
        self._shared_failed_at = float("-inf")

    async def hit(self, key: str) -> Allowance:
        """Count one more under `key`, and say what is left."""
        return await self._ask(key, counting=True)

    async def peek(self, key: str) -> Allowance:
        """Say what is left under `key`, counting nothing."""
        return await self._ask(key, counting=False)

    async def _ask(self, key: str, *, counting: bool) -> Allowance:
        if self._shared is not None and monotonic() - self._shared_failed_at > RETRY_STORAGE:
            try:
                return await self._count(self._shared, key, counting=counting)
            except Exception as error:  # noqa: BLE001 - each storage fails in its own words
                self._shared_failed_at = monotonic()
                fields = {"limit": self._name, "error": type(error).__name__}
                logger.warning("rate limit storage does not answer; counting alone", extra={"fields": fields})
        return await self._count(self._own, key, counting=counting)

    async def _count(self, counter: SlidingWindowCounterRateLimiter, key: str, *, counting: bool) -> Allowance:
        check = counter.hit if counting else counter.test
        allowed = await check(self._rate, self._name, key)
        stats = await counter.get_window_stats(self._rate, self._name, key)
        resets_in = max(1, ceil(stats.reset_time - time()))
        return Allowance(allowed, self._rate.amount, self._rate.get_expiry(), stats.remaining, resets_in)


def rate_limiter(name: str, rate: str, storage: str) -> RateLimiter | None:
    """The limiter for `rate`, or None when it is `off`. Raises as RateLimiter does."""
    return None if rate == "off" else RateLimiter(name, rate, storage)


def _open(url: str) -> Storage:
    try:
        storage = storage_from_string(f"async+{url}", implementation="redispy", **REDIS_OPTIONS)
    except Exception:  # noqa: BLE001 - each storage fails in its own words, which may hold the URL's password
        raise ConfigurationError(
            "RATE_LIMIT_STORAGE cannot be used; check the URL, and install its client: pip install 'doable[redis]'."
        ) from None
    assert isinstance(storage, Storage)  # noqa: S101 - that is what async+ asks for
    return storage
