"""An issuer's published keys, fetched without ever holding up a request that needs none of it."""

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
from service.errors import InvalidTokenError, UnavailableError
from service.logs.outages import Outage

logger = logging.getLogger("doable.auth")

REFRESH_EVERY = 300.0  # seconds between two looks at an issuer that answers
FETCH_TIMEOUT = 5.0  # seconds for all of one fetch
MAXIMUM_SET = 64 * 1024  # bytes
PATIENCE = 3.0  # seconds that a request may wait for the end of the cool-down
MAXIMUM_WAITERS = 100  # requests that may do so at the same time
FIRST_RETRY = 1.0  # seconds; doubles up to the cool-down while the issuer is away


class PublishedKeys:
    """The keys behind a JWKS URL: kept fresh by one task, kept for a while when the issuer is away.

    A token with an unknown key id causes one fetch, shared by all requests that wait for it. Then unknown key ids cause
    none for the length of the cool-down, whether that fetch succeeded or not, so random ids cannot make us hammer the
    issuer. A key may be rotated in that time: such a token waits for the end of the cool-down if it is near, and is
    answered 503 with Retry-After if it is not. It is not refused before the issuer was asked.
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
        """Read keys from `url`. `cooldown` and `max_stale` are in seconds; `on_change` is called when keys change."""
        self.url = url
        self.algorithms = algorithms
        self.on_change = on_change
        self.failure = ""  # why the last fetch brought no keys, in words for an operator
        self._outage = Outage(logger, lost="key set not available", back="key set available again")
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._keys = KeySet(())
        self._fetched_at = self._asked_at = float("-inf")
        self._waiting = 0  # requests that wait for the end of the cool-down
        self._fetching: asyncio.Task[bool] | None = None

    async def keep_fresh(self) -> NoReturn:
        """Fetch the keys now and again, until cancelled. The issuer need not be there yet."""
        retry = FIRST_RETRY
        while True:
            if await self.fetch():
                retry, pause = FIRST_RETRY, REFRESH_EVERY
            else:
                pause, retry = retry, min(retry * 2, self._cooldown)
            self._drop_stale()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, hides nothing

    async def close(self) -> None:
        """End the fetch that is under way, if there is one."""
        if self._fetching:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._fetching

    @property
    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    @property
    def count(self) -> int:
        """How many keys there are now."""
        return len(self._keys)

    @property
    def age(self) -> float:
        """Seconds since the issuer last answered with keys; infinite before it first did."""
        return monotonic() - self._fetched_at

    def known(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Give the key for a token if it is at hand; nothing if the issuer may have published it since.

        Raises InvalidTokenError if there cannot be such a key.
        """
        self._drop_stale()
        key = self._keys.find(algorithm, key_id)
        return () if key is None else (key,)

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Give the key for a token, asking the issuer for one that is unknown.

        Raises InvalidTokenError if the issuer does not publish it. Raises UnavailableError while there are no keys at
        all, and if the key may have been published since the last fetch, but the issuer must not be asked again yet.
        """
        if found := self.known(algorithm, key_id):
            return found
        asked = await self._ask_issuer()
        if found := self.known(algorithm, key_id):
            return found
        if not asked or not self._keys:
            raise UnavailableError("keys")
        raise InvalidTokenError("unknown key id" if key_id is not None else "no key for this algorithm")

    async def successors(self, algorithm: str) -> Sequence[VerificationKey]:
        """Give the key that was published in place of the one at hand, asking the issuer once in a cool-down.

        Raises as `known` does.
        """
        if not self._is_fetching and monotonic() < self._asked_at + self._cooldown:
            return ()
        before = self.known(algorithm, None)
        await self._ask_issuer()
        after = self.known(algorithm, None)
        return after if after != before else ()

    async def fetch(self) -> bool:
        """Fetch the keys now, or join the fetch that is under way; say whether it brought any."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        # The fetch is everybody's: one waiter that is cancelled must not take it from the others.
        return await asyncio.shield(self._fetching)

    async def _ask_issuer(self) -> bool:
        """Fetch the keys, or join the fetch under way; in the cool-down wait for its end. Say whether keys came.

        Raises UnavailableError, with the seconds that are left, if that end is not near, or if too many wait already.
        """
        if not self._is_fetching:
            left = self._asked_at + self._cooldown - monotonic()
            if left > 0 and not self._keys:
                return False
            if left > 0:
                asked_at = self._asked_at
                await self._wait(left)
                if self._asked_at != asked_at and not self._is_fetching:
                    return self._outage.cause is None  # another request that waited has asked since
            if not self._is_fetching:
                self._asked_at = monotonic()
        return await self.fetch()

    async def _wait(self, left: float) -> None:
        # The number of waiters is bounded because anybody can send a made-up key id.
        if left > PATIENCE or self._waiting >= MAXIMUM_WAITERS:
            raise UnavailableError("keys", retry_after=ceil(left))
        self._waiting += 1
        try:
            await asyncio.sleep(left)
        finally:
            self._waiting -= 1

    async def _fetch(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                found = KeySet.read(msgspec.json.decode(await self._download()))
        except Exception as error:  # noqa: BLE001 - whatever an issuer does wrong, the keys we have go on
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
        import httpx  # noqa: PLC0415 - a tenth of the time to start, which those without a key set are spared

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
                    raise ValueError("larger than a key set is")
            return bytes(body)

    def _drop_stale(self) -> None:
        if self._keys and self.age > self._max_stale:
            self._keys = KeySet(())
            self.on_change()
            logger.error("key set too old to trust", extra={"fields": {"url": self.url}})


def _cause(error: Exception) -> str:
    return str(error) if type(error) is ValueError else type(error).__name__
