"""Log the outage of a dependency: at its start, when its cause changes, every few minutes, and at its end."""

from __future__ import annotations

import logging
from time import monotonic

REMIND_EVERY = 300.0  # seconds between two warnings about the same cause


class Outage:
    """The state of one dependency, such as the database or an issuer's key set, and of its last log entry."""

    def __init__(self, logger: logging.Logger, *, lost: str, back: str, remind_every: float = REMIND_EVERY) -> None:
        """Log to `logger`: `lost` as a warning, `back` when the dependency works again.

        A cause that lasts is logged again after `remind_every` seconds.
        """
        self._logger = logger
        self._lost, self._back = lost, back
        self._remind_every = remind_every
        self._cause: str | None = None
        self._logged_at = float("-inf")

    @property
    def cause(self) -> str | None:
        """Why the dependency does not work, or None while it works."""
        return self._cause

    def failed(self, cause: str, **fields: object) -> None:
        """Record a failure, and log it if necessary, with `fields`. `cause` must contain no secret."""
        now = monotonic()
        if cause != self._cause or now - self._logged_at >= self._remind_every:
            self._logger.warning(self._lost, extra={"fields": {**fields, "error": cause}})
            self._logged_at = now
        self._cause = cause

    def recovered(self, **fields: object) -> bool:
        """Record a success. If it ends an outage, log that and return True."""
        if self._cause is None:
            return False
        self._cause = None
        self._logger.info(self._back, extra={"fields": fields})
        return True
