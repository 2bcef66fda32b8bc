"""The media type that an Accept header prefers (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import contextlib
import time

import pytest

from service.web.media_types import preferred

OFFERED = ["application/json", "text/csv", "text/calendar"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/csv;", "text/csv"),
        ("text/csv; charset=utf-8; header=present", "text/csv"),
        ("text/*", "text/csv"),
        ("text/*, text/csv;q=0.1", "text/calendar"),
        ("text/csv;q=0.5, text/calendar", "text/calendar"),
        ("text/csv;q=0.5, text/calendar;q=0.4, */*;q=0.1", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/csv;q=0", "application/json"),
        ("image/png, text/csv;q=0.1", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ('text/csv;a="b,c;q=0", image/png', "text/csv"),
        ("text/csv;q=1.000", "text/csv"),
        (" , , text/csv", "text/csv"),
        ('"', "application/json"),
    ],
)
def test_the_preferred_media_type_is_selected(accept, expected):
    assert preferred(accept, OFFERED) == expected


@pytest.mark.parametrize(
    "accept", ["text/csv;q=2", "text/csv;q=\uff11", "text/csv;q=", "nonsense, text/csv", "a/b/c", "/"]
)
def test_a_malformed_header_is_an_error(accept):
    with pytest.raises(ValueError, match="not a"):
        preferred(accept, OFFERED)


@pytest.mark.parametrize("part", ['"', '\\"', '"\\', 'a/b;c="', ",", ";", "a/b,"])
def test_every_header_is_parsed_fast(part):
    began = time.thread_time()
    with contextlib.suppress(ValueError):
        preferred(part * (8_000 // len(part)), OFFERED)
    assert time.thread_time() - began < 2
