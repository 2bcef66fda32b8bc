"""Which answers to health probes are worth a line in the log: they come every few seconds, and mostly hear the same."""

from __future__ import annotations

HEALTH = "/health"
EVERY = 100  # of a row of equal answers; so many probes are a few minutes, and their lines show that somebody asks

_last: dict[str, tuple[int, int]] = {}  # by route: the status, and how often in a row


def is_worth_a_line(route: str | None, status: int) -> bool:
    """Whether to log an answer of `status`; of a health route's only changes and every hundredth are."""
    if route is None or not route.startswith(HEALTH):
        return True
    before, times = _last.get(route, (0, 0))
    times = times + 1 if before == status else 0
    _last[route] = (status, times)
    return times % EVERY == 0
