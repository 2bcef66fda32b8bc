"""The metrics: cheap to count, summed over workers that start and end, and never decreasing."""

from __future__ import annotations

import os
import re
import timeit
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry import Board, Figures, text, total
from service.telemetry.board import HALF, SLOT

ROUTE = "/api/{user_id}/tasks"
DOCUMENTED = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text()


def samples(written: bytes) -> dict[tuple, float]:
    """Return every sample by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(written.decode())
        for sample in family.samples
    }


def counted(figures: Figures) -> int:
    return sum(figures.requests.values())


def busy(requests: int) -> Figures:
    figures = Figures()
    for _ in range(requests):
        figures.request_ended("GET", ROUTE, 200, 3.0)
    return figures


def test_a_request_is_counted_by_method_route_and_status_and_its_duration_by_bucket():
    figures = Figures()
    for milliseconds in (0.5, 5.0, 5.01, 30_000.0):
        figures.request_ended("GET", ROUTE, 200, milliseconds)
    found = samples(text([figures], Figures(), "1.2.3"))
    labels = (("method", "GET"), ("route", ROUTE))
    assert found["doable_requests_total", *labels, ("status", "200")] == 4
    buckets = {
        key[1][1]: value
        for key, value in found.items()
        if key[0] == "doable_request_duration_seconds_bucket" and key[2:] == labels
    }
    assert (buckets["0.001"], buckets["0.005"], buckets["0.01"], buckets["25.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert found["doable_request_duration_seconds_count", *labels] == 4
    assert found["doable_request_duration_seconds_sum", *labels] == pytest.approx(30.01051)
    assert found["doable_info", ("version", "1.2.3")] == 1


def test_no_text_of_a_client_becomes_a_label():
    figures = Figures()
    for number in range(1000):
        figures.request_ended(f"WORD{number}", None, 404, 0.1)
    assert figures.requests == {("other", "none", 404): 1000}
    assert len(figures.durations) == 1


def test_the_waits_for_a_connection_and_the_failures_of_the_database_are_counted():
    figures = Figures(acquired_at_once=5)
    figures.acquired(0.02)
    figures.acquired(0.0)
    figures.database_failed("pool")
    found = samples(text([figures], Figures(), "1"))
    assert found["doable_database_acquire_seconds_bucket", ("le", "0.0001")] == 6
    assert found["doable_database_acquire_seconds_count",] == 7
    assert found["doable_database_acquire_seconds_sum",] == 0.02
    assert found["doable_database_errors_total", ("kind", "pool")] == 1


def test_every_documented_limit_is_exported_from_the_start_and_counted():
    name = "doable_rate_limited_total"
    (meaning,) = re.findall(rf"^\| `{name}` \| counter \| `limit` \| (.*) \|$", DOCUMENTED, re.MULTILINE)
    documented = re.findall(r"`(\w+)`", meaning)
    figures = Figures()
    for expected in (0, 1):
        found = samples(text([figures], Figures(), "1"))
        exported = {key[1][1]: count for key, count in found.items() if key[0] == name}
        assert exported == dict.fromkeys(documented, expected)
        for limit in documented:
            figures.refused_by_rate(limit)


@pytest.mark.trial
def test_counting_a_request_costs_less_than_five_microseconds():
    figures, times = busy(1), 20_000
    best = min(timeit.repeat(lambda: figures.request_ended("GET", ROUTE, 200, 3.0), number=times, repeat=5)) / times
    print(f"one request counted in {best * 1e6:.2f} µs")
    assert best < 5e-6


def test_counters_and_gauges_of_workers_are_added_up():
    board = Board(2)
    board.seat().publish(busy(3), {"doable_database_pool_size": 5, "doable_key_set_age_seconds": 7})
    board.seat().publish(busy(4), {"doable_database_pool_size": 5, "doable_key_set_age_seconds": 9})
    found = samples(text(*board.read(), "1"))
    assert found["doable_requests_total", ("method", "GET"), ("route", ROUTE), ("status", "200")] == 7
    assert found["doable_database_pool_size",] == 10
    assert found["doable_key_set_age_seconds",] == 9
    assert found["doable_workers",] == 2
    assert found["process_resident_memory_bytes",] > 1_000_000


def test_the_counts_of_a_worker_remain_after_its_end():
    board = Board(1)
    for _ in range(100):
        seat = board.seat()
        seat.publish(busy(2), {"doable_database_pool_size": 5})
        board.vacate(seat)
    serving, ended = board.read()
    assert serving == []
    assert counted(ended) == 200
    assert len(ended.ended) <= 64
    assert samples(text(serving, ended, "1"))["doable_workers",] == 0


def test_a_worker_that_ends_while_it_is_read_is_not_counted_twice(monkeypatch):
    board = Board(1)
    seat = board.seat()
    seat.publish(busy(2), {})
    read = board._read

    def end_after(slot: int) -> Figures | None:
        found = read(slot)
        if slot == seat.slot and found:
            monkeypatch.setattr(board, "_read", read)
            board.vacate(seat)
        return found

    monkeypatch.setattr(board, "_read", end_after)
    serving, ended = board.read()
    assert counted(total([*serving, ended])) == 2


def test_other_processes_see_published_figures_and_a_half_finished_write_changes_none():
    board = Board(1)
    seat = board.seat()
    child = os.fork()
    if child == 0:
        try:
            seat.publish(busy(5), {})
            # Half of another write: it went into the half that is not read, and was never published.
            start = seat.slot * SLOT
            offset = start + 8 + (1 - board._memory[start]) * HALF
            board._memory[offset : offset + 12] = b"half-written"
        finally:
            os._exit(0)  # in every case, the child must not continue with the tests
    os.waitpid(child, 0)
    (found,), _ = board.read()
    assert (counted(found), found.process) == (5, child)


def test_figures_that_do_not_fit_are_counted_and_logged_once_and_change_nothing(caplog):
    board = Board(1)
    seat = board.seat()
    seat.publish(busy(5), {})
    for _ in range(3):
        board.write(seat.slot, bytes(300_000))
    serving, ended = board.read()
    assert counted(serving[0]) == 5
    assert samples(text(serving, ended, "1.2.3"))["doable_metrics_unpublished_total",] == 3
    assert [record.message for record in caplog.records] == ["figures do not fit, the last ones stay"]
    board.vacate(seat)
    assert board.read()[1].unpublished == 3, "no count goes back"


def test_the_figures_of_forty_routes_fit_with_room_to_spare():
    figures = Figures()
    for number in range(40):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            for status in (200, 401, 404, 422, 503):
                figures.request_ended(method, f"/api/{{user_id}}/tasks/{{task_id}}/{number}", status, 1.5)
    assert len(msgspec.msgpack.encode(figures)) < 200_000
