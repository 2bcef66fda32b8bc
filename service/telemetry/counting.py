"""Count the metrics of one worker in plain numbers, and add up those of several workers."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct, field

K = TypeVar("K")

# Upper bounds in seconds, inclusive, as in Prometheus. A read takes half a millisecond, a response at most 25 s.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
ACQUIRE_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0)
# The methods that may become labels. A client may send any other word as its method, which must not become a label.
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
OTHER_METHOD = "other"
RATE_LIMITS = ("user", "address", "heavy")  # the limits whose 429 are counted
NO_ROUTE = "none"


def _empty(buckets: tuple[float, ...]) -> list[float]:
    """Return an empty histogram: a count for each bucket, a count above the last bucket, and the sum of all values."""
    return [0.0] * (len(buckets) + 2)


class Figures(Struct):
    """The metrics of one worker since its start. Only its event loop writes them, so there is no lock."""

    requests: dict[tuple[str, str, int], int] = field(default_factory=dict)  # by method, route and status
    durations: dict[tuple[str, str], list[float]] = field(default_factory=dict)  # by method and route
    acquires: list[float] = field(default_factory=lambda: _empty(ACQUIRE_BUCKETS))  # of requests that had to wait
    acquired_at_once: int = 0
    database_errors: dict[str, int] = field(default_factory=dict)  # by kind
    database_retries: int = 0
    rate_limited: dict[str, int] = field(default_factory=dict)  # by limit
    gauges: dict[str, float] = field(default_factory=dict)  # as of the last publication
    cpu_seconds: float = 0.0
    log_lines_dropped: int = 0  # because stdout was not read; as of the last publication
    unpublished: int = 0  # how often the metrics were too large for their slot; the board sets it
    process: int = field(default_factory=os.getpid)
    number: int = 0  # of the worker; unlike process ids, the supervisor never reuses it
    ended: list[int] = field(default_factory=list)  # the numbers of the ended workers that this sum includes

    def request_ended(self, method: str, route: str | None, status: int, milliseconds: float | None) -> None:
        """Count a request. `route` is its route's template, None if no route matched."""
        name = route or NO_ROUTE
        try:
            self.requests[method, name, status] += 1
            durations = self.durations[method, name]
        except KeyError:
            durations = self._first(method if method in METHODS else OTHER_METHOD, name, status)
        if milliseconds is not None:
            seconds = milliseconds / 1000
            durations[bisect_left(REQUEST_BUCKETS, seconds)] += 1
            durations[-1] += seconds

    def _first(self, method: str, route: str, status: int) -> list[float]:
        self.requests[method, route, status] = self.requests.get((method, route, status), 0) + 1
        return self.durations.setdefault((method, route), _empty(REQUEST_BUCKETS))

    def acquired(self, seconds: float) -> None:
        """Count a request that has waited `seconds` for a connection, with or without success."""
        self.acquires[bisect_left(ACQUIRE_BUCKETS, seconds)] += 1
        self.acquires[-1] += seconds

    def database_failed(self, kind: str) -> None:
        """Count a failure of the database by the `kind` of UnavailableError."""
        self.database_errors[kind] = self.database_errors.get(kind, 0) + 1

    def refused_by_rate(self, limit: str) -> None:
        """Count a response of 429 that `limit`, one of RATE_LIMITS, caused."""
        self.rate_limited[limit] = self.rate_limited.get(limit, 0) + 1

    def measure(self, gauges: dict[str, float]) -> None:
        """Store the current `gauges`, and the current CPU time of this process."""
        self.gauges = gauges
        self.cpu_seconds = time.process_time()
        self.process = os.getpid()


def total(workers: Iterable[Figures]) -> Figures:
    """Return the sum of the counters of several workers. Gauges and process ids are not added."""
    whole = Figures()
    for one in workers:
        _add(whole.requests, one.requests)
        _add(whole.database_errors, one.database_errors)
        _add(whole.rate_limited, one.rate_limited)
        for key, durations in one.durations.items():
            before = whole.durations.setdefault(key, _empty(REQUEST_BUCKETS))
            before[:] = map(sum, zip(before, durations, strict=True))
        whole.acquires = [*map(sum, zip(whole.acquires, one.acquires, strict=True))]
        whole.acquired_at_once += one.acquired_at_once
        whole.database_retries += one.database_retries
        whole.unpublished += one.unpublished
        whole.log_lines_dropped += one.log_lines_dropped
        whole.cpu_seconds += one.cpu_seconds
    return whole


def _add(whole: dict[K, int], part: dict[K, int]) -> None:
    for key, count in part.items():
        whole[key] = whole.get(key, 0) + count
