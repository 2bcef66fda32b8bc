"""Health probes in the log: changes of the response, and one of a hundred."""

from __future__ import annotations

import pytest

from service.web import probes


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr(probes, "_last", {})


def told(*statuses: int, route: str = "/health/ready") -> list[int]:
    """Return the indexes of the responses that are logged."""
    return [place for place, status in enumerate(statuses) if probes.is_worth_a_line(route, status)]


def test_only_the_first_and_every_hundredth_of_equal_answers_are_logged():
    assert told(*[200] * 250) == [0, 100, 200]


def test_every_change_is_logged():
    assert told(200, 200, 503, 503, 200, 200) == [0, 2, 4]


def test_each_route_is_counted_for_itself():
    assert told(200, route="/health") == [0]
    assert told(200, route="/health/live") == [0]
    assert told(200, route="/health") == []


@pytest.mark.parametrize("route", ["/api/{user_id}/tasks", "/docs", None])
def test_every_other_request_is_logged(route):
    assert told(200, 200, 200, route=route) == [0, 1, 2]
