"""An issuer's published keys, fetched without ever holding up a request that needs none of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from time import monotonic

import msgspec

from service.auth.keys import KeySet, VerificationKey
from service.errors import InvalidTokenError, UnavailableError

logger = logging.getLogger("doable.auth")

REFRESH_EVERY = 300.0  # seconds between two looks at an issuer that answers
FETCH_TIMEOUT = 5.0  # seconds for all of one fetch
MAXIMUM_SET = 64 * 1024  # bytes
FIRST_RETRY = 1.0  # seconds; doubles up to the cool-down while the issuer is away


class PublishedKeys:
    """The keys behind a JWKS URL: kept fresh by one task, kept for a while when the issuer is away.

    A token with an unknown key id asks for one fetch, shared by all who wait, and then nobody does for the length of
    the cool-down, whether that fetch succeeded or not: random key ids cannot make us hammer the issuer.
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
        self._cooldown = cooldown
        self._max_stale = max_stale
        self._keys = KeySet(())
        self._fetched_at = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the keys fresh. The issuer need not be there yet."""
        self._keeper = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        """End what `start` began."""
        for task in (self._keeper, self._fetching):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    @property
    def count(self) -> int:
        """How many keys there are now."""
        return len(self._keys)

    @property
    def age(self) -> float:
        """Seconds since the issuer last answered with keys; infinite before it first did."""
        return monotonic() - self._fetched_at

    async def find(self, algorithm: str, key_id: str | None) -> VerificationKey:
        """The key for a token. Raises InvalidTokenError, or UnavailableError while there are no keys at all."""
        if key_id is None:
            raise InvalidTokenError("no key id")
        self._drop_stale()
        if key_id not in self._keys:
            await self._fetch_for_unknown()
        if not self._keys:
            raise UnavailableError("keys")
        return self._keys.find(algorithm, key_id)

    async def fetch(self) -> bool:
        """Fetch the keys now, or join the fetch that is under way; say whether it brought any."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        # The fetch is everybody's: one waiter that is cancelled must not take it from the others.
        return await asyncio.shield(self._fetching)

    async def _fetch_for_unknown(self) -> None:
        under_way = self._fetching is not None and not self._fetching.done()
        if not under_way:
            if monotonic() - self._asked_at < self._cooldown:
                return
            self._asked_at = monotonic()
        await self.fetch()

    async def _keep_fresh(self) -> None:
        retry = FIRST_RETRY
        while True:
            if await self.fetch():
                retry, pause = FIRST_RETRY, REFRESH_EVERY
            else:
                pause, retry = retry, min(retry * 2, self._cooldown)
            self._drop_stale()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, hides nothing

    async def _fetch(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                found = KeySet.read(msgspec.json.decode(await self._download()))
        except Exception as error:  # noqa: BLE001 - whatever an issuer does wrong, the keys we have go on
            self.failure = _cause(error)
            logger.warning("key set not available", extra={"fields": {"url": self.url, "error": self.failure}})
            return False
        self._fetched_at = monotonic()
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
