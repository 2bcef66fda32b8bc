"""Write the metrics in Prometheus' text format, with prometheus-client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate

from prometheus_client import PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from service.telemetry.counting import ACQUIRE_BUCKETS, RATE_LIMITS, REQUEST_BUCKETS, Figures, total

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Join = Callable[[list[float]], float]

# The gauges of a worker, by name: the meaning, and the function that combines the values of several workers.
GAUGES: dict[str, tuple[str, Join]] = {
    "doable_database_pool_size": ("Maximum number of connections in the pools.", sum),
    "doable_database_pool_in_use": ("Connections in use by requests, or being opened for them.", sum),
    "doable_database_pool_waiting": ("Requests that wait for a connection.", sum),
    "doable_token_cache_size": ("Verified tokens in the cache.", sum),
    "doable_event_streams": ("Open event streams.", sum),
    "doable_key_set_age_seconds": ("Seconds since the issuer last returned keys; +Inf before the first time.", max),
}
# The metrics of a process that prometheus-client reads from /proc. Each worker counts its CPU time itself.
PROCESS: dict[str, tuple[str, Join]] = {
    "process_resident_memory_bytes": ("Resident memory of all workers.", sum),
    "process_virtual_memory_bytes": ("Virtual memory of all workers.", sum),
    "process_open_fds": ("Open files and sockets of all workers.", sum),
    "process_max_fds": ("Maximum number of open files and sockets of one worker.", min),
    "process_start_time_seconds": ("Start time of the oldest worker, in seconds since the epoch.", min),
}


def text(serving: list[Figures], ended: Figures, version: str) -> bytes:
    """Return the metrics as text: those of the running workers, and the sum of the ended ones."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(serving, ended, version))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, serving: list[Figures], ended: Figures, version: str) -> None:
        self._serving, self._version = serving, version
        self._whole = total([*serving, ended])

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, always in the same order."""
        yield from self._requests()
        yield from self._database()
        limited = CounterMetricFamily("doable_rate_limited", "Requests refused with 429.", labels=["limit"])
        for limit in RATE_LIMITS:
            limited.add_metric([limit], self._whole.rate_limited.get(limit, 0))
        yield limited
        for name, (meaning, join) in GAUGES.items():
            values = [one.gauges[name] for one in self._serving if name in one.gauges]
            yield _gauge(name, meaning, join(values) if values else None)
        yield CounterMetricFamily(
            "doable_metrics_unpublished", "Times that a worker's metrics were too large.", self._whole.unpublished
        )
        yield CounterMetricFamily(
            "doable_log_lines_dropped", "Log lines dropped because stdout was not read.", self._whole.log_lines_dropped
        )
        yield _gauge("doable_workers", "Running worker processes.", len(self._serving))
        info = GaugeMetricFamily("doable_info", "The running version.", labels=["version"])
        info.add_metric([self._version], 1)
        yield info
        yield from _processes(one.process for one in self._serving)
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system CPU time of all workers.", self._whole.cpu_seconds
        )
        yield from PlatformCollector(registry=None).collect()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "doable_requests", "Requests answered, by route template.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._whole.requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        durations = HistogramMetricFamily(
            "doable_request_duration_seconds",
            "Time from a request's first byte to its response.",
            labels=["method", "route"],
        )
        for labels, counted in self._whole.durations.items():
            durations.add_metric([*labels], _cumulative(REQUEST_BUCKETS, counted), counted[-1])
        yield durations

    def _database(self) -> Iterator[Metric]:
        counted = self._whole.acquires.copy()
        counted[0] += self._whole.acquired_at_once
        acquires = HistogramMetricFamily(
            "doable_database_acquire_seconds", "Time that requests waited for a connection."
        )
        acquires.add_metric([], _cumulative(ACQUIRE_BUCKETS, counted), counted[-1])
        yield acquires
        errors = CounterMetricFamily("doable_database_errors", "Failures of the database.", labels=["kind"])
        for kind, count in self._whole.database_errors.items():
            errors.add_metric([kind], count)
        yield errors
        yield CounterMetricFamily(
            "doable_database_retries", "Retries on another connection.", self._whole.database_retries
        )


def _cumulative(buckets: tuple[float, ...], counted: list[float]) -> list[tuple[str, float]]:
    return [*zip((*map(str, buckets), "+Inf"), accumulate(counted[:-1]), strict=True)]


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    return GaugeMetricFamily(name, meaning, value)


def _processes(ids: Iterable[int]) -> Iterator[Metric]:
    values: dict[str, list[float]] = {name: [] for name in PROCESS}
    for number in ids:
        for metric in ProcessCollector(pid=partial(int, number), registry=None).collect():
            if metric.name in values:
                values[metric.name] += [sample.value for sample in metric.samples]
    for name, (meaning, join) in PROCESS.items():
        yield _gauge(name, meaning, join(values[name]) if values[name] else None)
