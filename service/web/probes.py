"""Decide which health probes are logged. They arrive every few seconds, and mostly get the same response."""

from __future__ import annotations

HEALTH = "/health"
EVERY = 100  # of equal responses, every hundredth is logged: one in a few minutes, to show that probes still arrive

_last: dict[str, tuple[int, int]] = {}  # by route: the last status, and the number of its repetitions


def is_worth_a_line(route: str | None, status: int) -> bool:
    """Return whether to log a response with `status`. For a health route, log changes and every hundredth response."""
    if route is None or not route.startswith(HEALTH):
        return True
    before, times = _last.get(route, (0, 0))
    times = times + 1 if before == status else 0
    _last[route] = (status, times)
    return times % EVERY == 0
