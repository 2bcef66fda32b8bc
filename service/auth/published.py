"""Fetch and cache the keys that an issuer publishes. Only requests that need a new key wait for a fetch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from math import ceil
from time import monotonic
from typing import NoReturn

import msgspec

from service.auth.keys import KeySet, VerificationKey
from service.errors import InvalidTokenError, KeyUnknownError, UnavailableError
from service.logs.outages import Outage

logger = logging.getLogger("doable.auth")

REFRESH_EVERY = 300.0  # seconds between two successful fetches
FETCH_TIMEOUT = 5.0  # seconds for one whole fetch
MAXIMUM_SET = 64 * 1024  # bytes
PATIENCE = 3.0  # seconds that a request may wait for the end of the cooldown
MAXIMUM_WAITERS = 100  # requests that may wait for it at the same time
FIRST_RETRY = 1.0  # seconds; doubles up to the cooldown while the issuer is unavailable


class PublishedKeys:
    """The keys at a JWKS URL. One task refreshes them. They stay valid for a while if the issuer is unavailable.

    A token with an unknown key id causes one fetch, which all waiting requests share. During the cooldown after it,
    unknown key ids cause no further fetch, whether the first one succeeded or not. Therefore random key ids cannot
    flood the issuer with requests.

    An issuer may publish a new key during the cooldown. A request with a token of such a key waits for the end of the
    cooldown if it is near, and otherwise gets 503 with Retry-After. It never gets 401 before the issuer was asked.
    """

    def __init__(
        self,
        url: str,
        *,
        algorithms: frozenset[str],
        cooldown: float = 30.0,
        max_stale: float = 86_400.0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Fetch keys from `url`.

        `cooldown` is the minimum time between two fetches because of unknown key ids. `max_stale` is the time for
        which keys stay valid while the issuer is unavailable. Both are in seconds. `on_change` is called after the
        keys have changed.
        """
        self.url = url
        self.algorithms = algorithms
        self.on_change = on_change
        self.failure = ""  # why the last fetch failed, for the operator
        self._outage = Outage(logger, lost="key set not available", back="key set available again")
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._keys = KeySet(())
        self._fetched_at = self._asked_at = float("-inf")
        self._waiting = 0  # requests that wait for the end of the cooldown
        self._fetching: asyncio.Task[bool] | None = None

    async def keep_fresh(self) -> NoReturn:
        """Fetch the keys periodically, until cancelled. Retry with growing delays while the issuer is unavailable."""
        retry = FIRST_RETRY
        while True:
            if await self.fetch():
                retry, pause = FIRST_RETRY, REFRESH_EVERY
            else:
                pause, retry = retry, min(retry * 2, self._cooldown)
            self._drop_stale()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the workers' fetches over time; needs no secret

    async def close(self) -> None:
        """Cancel the running fetch, if there is one."""
        if self._fetching:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    @property
    def count(self) -> int:
        """The number of known keys."""
        return len(self._keys)

    @property
    def age(self) -> float:
        """Seconds since the last successful fetch; infinite before the first one."""
        return monotonic() - self._fetched_at

    def known(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the known key for a token, or nothing if a fetch may find it.

        Raises InvalidTokenError if there cannot be such a key.
        """
        self._drop_stale()
        key = self._keys.find(algorithm, key_id)
        return () if key is None else (key,)

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the key for a token. Fetch the key set if the key is unknown.

        Raises InvalidTokenError if the issuer does not publish the key. Raises UnavailableError if no keys have been
        fetched yet, and KeyUnknownError if the issuer may have published the key since the last fetch but the cooldown
        has not ended, or the issuer does not answer.
        """
        if found := self.known(algorithm, key_id):
            return found
        asked = await self._ask_issuer()
        if found := self.known(algorithm, key_id):
            return found
        if not self._keys:
            raise UnavailableError("keys")
        if not asked:
            raise KeyUnknownError("keys")
        raise InvalidTokenError("unknown key id" if key_id is not None else "no key for this algorithm")

    async def successors(self, algorithm: str) -> Sequence[VerificationKey]:
        """Return the key that replaces the known one. Fetch the key set at most once per cooldown.

        Raises the errors of `known`.
        """
        if not self._is_fetching and monotonic() < self._asked_at + self._cooldown:
            return ()
        before = self.known(algorithm, None)
        await self._ask_issuer()
        after = self.known(algorithm, None)
        return after if after != before else ()

    async def fetch(self) -> bool:
        """Fetch the keys now, or wait for the running fetch. Return whether it succeeded."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        # All waiters share the fetch, so cancelling one waiter must not cancel the fetch.
        return await asyncio.shield(self._fetching)

    async def _ask_issuer(self) -> bool:
        """Wait for the end of the cooldown, and then fetch the keys or wait for the running fetch.

        Return whether the fetch succeeded. Raises KeyUnknownError, with the remaining seconds, if the end of the
        cooldown is not near or if too many requests already wait for it.
        """
        if not self._is_fetching:
            left = self._asked_at + self._cooldown - monotonic()
            if left > 0 and not self._keys:
                return False
            if left > 0:
                asked_at = self._asked_at
                await self._wait(left)
                if self._asked_at != asked_at and not self._is_fetching:
                    return self._outage.cause is None  # another waiter has fetched the keys since
            if not self._is_fetching:
                self._asked_at = monotonic()
        return await self.fetch()

    async def _wait(self, left: float) -> None:
        # The number of waiters is limited, because any client can send an invented key id.
        if left > PATIENCE or self._waiting >= MAXIMUM_WAITERS:
            raise KeyUnknownError("keys", retry_after=ceil(left))
        self._waiting += 1
        try:
            await asyncio.sleep(left)
        finally:
            self._waiting -= 1

    async def _fetch(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                found = KeySet.read(msgspec.json.decode(await self._download()))
        except Exception as error:  # noqa: BLE001 - the known keys stay usable whatever the issuer sends
            self.failure = _cause(error)
            self._outage.failed(self.failure, url=self.url)
            return False
        self._fetched_at = monotonic()
        self._outage.recovered(url=self.url, keys=len(found))
        if found != self._keys:
            self._keys = found
            self.on_change()
            logger.info("key set changed", extra={"fields": {"url": self.url, "keys": len(found)}})
        return True

    async def _download(self) -> bytes:
        import httpx  # noqa: PLC0415 - a tenth of the start time, and only needed for a key set

        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "doable"}
        async with (
            httpx.AsyncClient(
                follow_redirects=False, trust_env=False, headers=headers, timeout=FETCH_TIMEOUT
            ) as client,
            client.stream("GET", self.url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAXIMUM_SET:
                    raise ValueError(f"larger than {MAXIMUM_SET:,} bytes")
            return bytes(body)

    def _drop_stale(self) -> None:
        if self._keys and self.age > self._max_stale:
            self._keys = KeySet(())
            self.on_change()
            logger.error("key set too old to trust", extra={"fields": {"url": self.url}})


def _cause(error: Exception) -> str:
    return str(error) if type(error) is ValueError else type(error).__name__
