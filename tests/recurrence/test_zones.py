"""Time zones: which names are known, and where the zones come from."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta, timezone

import pytest

from service.recurrence.zones import read_zone, zone_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("EUROPE/BERLIN", "Europe/Berlin"),
        ("america/port-au-prince", "America/Port-au-Prince"), ("utc", "UTC"), ("Etc/Unknown", "UTC"),
        ("Asia/Calcutta", "Asia/Calcutta"),
    ],
)  # fmt: skip
def test_the_case_of_a_name_does_not_matter(text, name):
    assert zone_name(text) == name
    assert read_zone(text).key == name


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Berlin", "; did you mean 'Europe/Berlin'?"),
        ("new york", "; did you mean 'America/New_York'?"),
        ("Europe/Berlinn", "; did you mean 'Europe/Berlin'?"),
        ("Mars/Olympus_Mons", ""),
        ("", ""),
        ("+01:00", ""),
        ("GMT+1", None),
        ("x" * 100_000, ""),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest_one(text, hint):
    with pytest.raises(ValueError, match=r"^must be an IANA time zone such as Europe/Berlin") as raised:
        read_zone(text)
    assert hint is None or str(raised.value) == f"must be an IANA time zone such as Europe/Berlin{hint}"


@pytest.mark.parametrize(
    "text", ["../zones", "/etc/passwd", "/usr/share/zoneinfo/UTC", "Europe", "Europe/../Europe/Berlin", "zone.tab",
             "Europe/Berlin\0", " Europe/Berlin", "localtime", "posix/UTC", "__init__.py"],
)  # fmt: skip
def test_a_path_is_no_name(text):
    with pytest.raises(ValueError, match=r"^must be an IANA time zone"):
        read_zone(text)


def test_zones_do_not_need_the_files_of_the_system():
    path = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=())
    try:
        zone = read_zone("Antarctica/Troll")
    finally:
        zoneinfo.reset_tzpath(to=path)
    assert datetime(2026, 7, 1, tzinfo=timezone.utc).astimezone(zone).utcoffset() == timedelta(hours=2)


def test_a_zone_is_loaded_once():
    assert read_zone("europe/berlin") is read_zone("Europe/Berlin")
