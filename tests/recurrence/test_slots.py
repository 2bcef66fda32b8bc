"""Slots: each ruling about the days and times of a series, and the bounds of the work."""

from __future__ import annotations

from datetime import date, datetime, timezone
from time import process_time

import pytest

from service.recurrence.rules import read_rule
from service.recurrence.slots import Slot, moment_of, next_slot, occurs_again, read_zone, slot_at, wall_of

BERLIN, NEW_YORK, APIA = read_zone("Europe/Berlin"), read_zone("America/New_York"), read_zone("Pacific/Apia")
LORD_HOWE, CASABLANCA = read_zone("Australia/Lord_Howe"), read_zone("Africa/Casablanca")


def read(text: str) -> Slot:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def following(rule: str, start: str, number: int = 8, **others) -> list[str]:
    """Return the slots of a series, each completed on its day, without the first one."""
    found, slot, count = [], read(start), 1
    for _ in range(number):
        step = following_one(rule, start, slot.isoformat(), number=count, after=slot.isoformat(), **others)
        if step is None:
            return found
        found.append(step[0])
        slot, count = read(step[0]), step[1]
    return found


def following_one(rule: str, start: str, slot: str | None = None, **others) -> tuple[str, int] | None:
    """Return the next slot as text, and its number. The task is completed on its day, unless `after` says when."""
    slot = slot or start
    given = {"number": 1, "from_completion": False, **others, "after": read(others.get("after", slot))}
    found = next_slot(read_rule(rule), start=read(start), slot=read(slot), **given)
    assert found is None or type(found[0]) is type(read(start))
    return found and (found[0].isoformat(), found[1])


# The schedule


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=DAILY", "2026-12-30", ["2026-12-31", "2027-01-01"]),
        ("FREQ=DAILY;INTERVAL=3", "2026-02-27", ["2026-03-02", "2026-03-05"]),
        ("FREQ=WEEKLY", "2026-06-03", ["2026-06-10", "2026-06-17"]),
        ("FREQ=WEEKLY;BYDAY=MO,FR", "2026-06-03", ["2026-06-05", "2026-06-08"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "2026-06-03", ["2026-06-05", "2026-06-15", "2026-06-19"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO", "1997-08-05", ["1997-08-10", "1997-08-19", "1997-08-24"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05", ["1997-08-17", "1997-08-19", "1997-08-31"]),
        ("FREQ=MONTHLY", "2026-06-03", ["2026-07-03", "2026-08-03"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31", ["2026-02-28", "2026-03-31"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", "2026-01-30", ["2026-02-27", "2026-03-27"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-01-30", ["2026-02-27", "2026-03-31"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "2026-02-13", ["2026-03-13", "2026-11-13"]),
        ("FREQ=YEARLY", "2026-06-03", ["2027-06-03", "2028-06-03"]),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "2026-03-29", ["2027-03-28", "2028-03-26"]),
        ("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", ["1998-05-18", "1999-05-17"]),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05", ["2000-11-07"]),
        ("FREQ=DAILY;BYMONTH=1", "2026-01-30", ["2026-01-31", "2027-01-01"]),
        ("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "2026-06-05", ["2026-06-08", "2026-06-09"]),
    ],
)  # fmt: skip
def test_the_schedule_gives_the_slots_of_rfc_5545(rule, start, expected):
    assert following(rule, start, len(expected)) == expected


def test_the_first_slot_is_the_start_even_if_it_does_not_match_the_rule():
    assert following("FREQ=WEEKLY;BYDAY=MO;COUNT=3", "2026-06-03") == ["2026-06-08", "2026-06-15"]
    assert following("FREQ=MONTHLY;BYMONTHDAY=15;COUNT=2", "2026-01-31") == ["2026-02-15"]


def test_weekdays_with_and_without_numbers_add_up():
    assert following("FREQ=MONTHLY;BYDAY=MO,1TU", "2026-06-01", 6) == [
        "2026-06-02", "2026-06-08", "2026-06-15", "2026-06-22", "2026-06-29", "2026-07-06",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=YEARLY;BYDAY=1MO", "2026-01-05", ["2027-01-04", "2028-01-03"]),
        ("FREQ=YEARLY;BYDAY=53FR", "2004-12-31", ["2010-12-31", "2016-12-30"]),
        ("FREQ=YEARLY;BYDAY=-53WE", "2020-01-01", ["2025-01-01", "2031-01-01"]),
        ("FREQ=YEARLY;BYDAY=TU,4FR", "2026-01-13", ["2026-01-20", "2026-01-23", "2026-01-27"]),
        ("FREQ=YEARLY;BYDAY=20MO;BYMONTHDAY=18", "2026-05-18", ["2037-05-18", "2043-05-18"]),
    ],
)
def test_numbers_of_weekdays_count_the_weeks_of_the_year_without_bymonth(rule, start, expected):
    assert following(rule, start, len(expected)) == expected


def test_the_current_day_may_come_with_a_time():
    assert following_one("FREQ=DAILY", "2026-06-01", after="2026-06-10T23:59:59") == ("2026-06-11", 11)
    assert following_one("FREQ=DAILY", "2026-06-01", after="2026-06-10T00:00:00", from_completion=True) == (
        "2026-06-11", 2,
    )  # fmt: skip


def test_a_time_of_the_day_is_kept_to_the_microsecond():
    assert following("FREQ=DAILY", "2026-06-03T09:15:30.000001", 1) == ["2026-06-04T09:15:30.000001"]


# Late, early, and from completion


def test_a_late_completion_gives_the_next_slot_after_today_and_counts_the_missed_ones():
    assert following_one("FREQ=DAILY", "2026-06-01", after="2026-06-10") == ("2026-06-11", 11)
    assert following_one("FREQ=WEEKLY;INTERVAL=2", "2026-06-01", after="2026-06-10") == ("2026-06-15", 2)
    assert following_one("FREQ=MONTHLY", "2026-01-31", after="2026-04-30") == ("2026-05-31", 5)
    assert following_one("FREQ=DAILY;COUNT=10", "2026-06-01", after="2026-06-10") is None


def test_an_early_completion_never_gives_the_slot_just_done():
    assert following_one("FREQ=WEEKLY", "2026-06-10", after="2026-06-03") == ("2026-06-17", 2)
    assert following_one("FREQ=DAILY", "2026-06-10T09:00:00", after="2026-06-09T23:00:00") == ("2026-06-11T09:00:00", 2)


def test_a_late_time_gives_a_slot_of_today_that_is_later_than_now():
    assert following_one("FREQ=DAILY", "2026-06-01T18:00:00", after="2026-06-04T17:59:59") == ("2026-06-04T18:00:00", 4)
    assert following_one("FREQ=DAILY", "2026-06-01T18:00:00", after="2026-06-04T18:00:00") == ("2026-06-05T18:00:00", 5)


def test_a_moved_task_does_not_move_its_series():
    """Only the slot counts, so the due date is no argument."""
    assert following_one("FREQ=WEEKLY", "2026-06-01", "2026-06-08", number=2, after="2026-06-12") == ("2026-06-15", 3)


@pytest.mark.parametrize(
    ("rule", "start", "completed", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=3", "2026-06-01", "2026-06-10", "2026-06-13"),
        ("FREQ=WEEKLY", "2026-06-01", "2026-06-10", "2026-06-17"),
        ("FREQ=WEEKLY;BYDAY=MO", "2026-06-01", "2026-06-10", "2026-06-15"),
        ("FREQ=MONTHLY", "2026-01-31", "2026-06-10", "2026-07-10"),
        ("FREQ=MONTHLY", "2026-01-15", "2026-01-31", "2026-02-28"),
        ("FREQ=YEARLY", "2024-02-29", "2026-06-10", "2027-06-10"),
        ("FREQ=YEARLY;BYMONTH=4", "2026-04-15", "2026-05-31", "2027-04-30"),
        ("FREQ=DAILY;INTERVAL=2", "2026-06-10T09:00:00", "2026-06-12T07:00:00", "2026-06-14T09:00:00"),
        ("FREQ=DAILY", "2026-06-10T09:00:00", "2026-06-12T07:00:00", "2026-06-13T09:00:00"),
    ],
)  # fmt: skip
def test_from_completion_the_rule_starts_anew_on_that_day(rule, start, completed, expected):
    assert following_one(rule, start, after=completed, number=7, from_completion=True) == (expected, 8)


def test_from_an_early_completion_the_next_slot_is_later_than_the_current_one():
    assert following_one("FREQ=DAILY", "2026-06-10", after="2026-06-07", from_completion=True) == ("2026-06-11", 2)
    assert following_one("FREQ=WEEKLY", "2026-06-10", after="2026-06-08", from_completion=True) == ("2026-06-15", 2)


@pytest.mark.parametrize(
    ("rule", "start", "completed", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-06-01", "2026-06-09", "2026-06-15"),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", "2026-03-10", "2026-04-09", "2027-03-10"),
    ],
)
def test_from_completion_a_rule_without_a_slot_from_that_day_goes_on_from_the_current_slot(
    rule, start, completed, expected
):
    assert following_one(rule, start, after=completed, from_completion=True) == (expected, 2)
    assert following_one(f"{rule};COUNT=1", start, after=completed, from_completion=True) is None


# The end of a series


def test_count_counts_the_start_and_every_slot():
    assert following("FREQ=DAILY;COUNT=3", "2026-06-01") == ["2026-06-02", "2026-06-03"]
    assert following_one("FREQ=DAILY;COUNT=3", "2026-06-01", number=3) is None
    assert following_one("FREQ=DAILY;COUNT=3", "2026-06-01", number=3, from_completion=True) is None


@pytest.mark.parametrize("until", ["20260603", "20260603T000000", "20260603T000000Z"])
def test_until_includes_its_day(until):
    assert following(f"FREQ=DAILY;UNTIL={until}", "2026-06-01") == ["2026-06-02", "2026-06-03"]
    assert following(f"FREQ=DAILY;UNTIL={until}", "2026-06-01T23:00:00") == [
        "2026-06-02T23:00:00",
        "2026-06-03T23:00:00",
    ]


def test_until_in_utc_means_its_day_in_the_zone():
    rule = "FREQ=DAILY;UNTIL=20260603T230000Z"
    assert following(rule, "2026-06-02T09:00:00", zone=BERLIN) == ["2026-06-03T09:00:00", "2026-06-04T09:00:00"]
    assert following(rule, "2026-06-02T09:00:00", zone=NEW_YORK) == ["2026-06-03T09:00:00"]


def test_no_slot_is_later_than_the_year_9999():
    assert following("FREQ=DAILY", "9999-12-30") == ["9999-12-31"]
    assert following("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;WKST=SU", "9999-12-30") == ["9999-12-31"]
    assert following("FREQ=MONTHLY", "9999-12-01") == following("FREQ=YEARLY", "9999-12-01") == []
    assert following("FREQ=DAILY", "9999-12-29T23:00:00", zone=NEW_YORK) == ["9999-12-30T23:00:00"]
    assert following("FREQ=DAILY", "9999-12-30T00:00:00", zone=BERLIN) == ["9999-12-31T00:00:00"]


@pytest.mark.parametrize("frequency", ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
def test_a_series_may_start_in_the_year_1(frequency):
    first = {"DAILY": "0001-01-02", "WEEKLY": "0001-01-08", "MONTHLY": "0001-02-01", "YEARLY": "0002-01-01"}
    assert following(f"FREQ={frequency};WKST=SU", "0001-01-01", 1) == [first[frequency]]
    assert following(f"FREQ={frequency}", "0001-01-01T12:00:00", 1, zone=NEW_YORK) == [f"{first[frequency]}T12:00:00"]


# Short months


def test_the_31st_clamps_to_shorter_months_and_comes_back():
    days = ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30", "2027-07-31"]
    for rule in ("FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=31"):
        assert following(rule, "2027-01-31", 6) == days
    assert following("FREQ=MONTHLY", "2028-01-30", 2) == ["2028-02-29", "2028-03-30"]


def test_several_days_of_a_month_clamp_each_on_its_own():
    assert following("FREQ=MONTHLY;BYMONTHDAY=15,31", "2027-01-31", 4) == [
        "2027-02-15", "2027-02-28", "2027-03-15", "2027-03-31",
    ]  # fmt: skip
    assert following("FREQ=MONTHLY;BYMONTHDAY=29,30,31", "2027-01-31", 2) == ["2027-02-28", "2027-03-29"]
    assert following("FREQ=MONTHLY;BYMONTHDAY=1,-31", "2027-01-01", 2) == ["2027-02-01", "2027-03-01"]


def test_29_february_clamps_to_28_and_comes_back():
    days = ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    for rule in ("FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=2", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"):
        assert following(rule, "2024-02-29", 4) == days
    assert following("FREQ=YEARLY", "2096-02-29", 2) == ["2097-02-28", "2098-02-28"]
    assert following("FREQ=YEARLY;INTERVAL=4", "2096-02-29", 2) == ["2100-02-28", "2104-02-29"]


def test_an_implicit_day_clamps_in_each_month_of_a_yearly_rule():
    assert following("FREQ=YEARLY;BYMONTH=2,4,8", "2027-08-31", 3) == ["2028-02-29", "2028-04-30", "2028-08-31"]


def test_a_day_that_only_selects_does_not_clamp():
    assert following("FREQ=DAILY;BYMONTHDAY=31", "2027-01-31", 2) == ["2027-03-31", "2027-05-31"]
    assert following("FREQ=MONTHLY;BYMONTHDAY=31;BYSETPOS=1", "2027-01-31", 2) == ["2027-03-31", "2027-05-31"]
    assert following("FREQ=MONTHLY;BYMONTHDAY=31;BYDAY=MO", "2027-05-31", 2) == ["2028-01-31", "2028-07-31"]
    assert following("FREQ=YEARLY;BYMONTHDAY=31", "2027-01-31", 2) == ["2027-03-31", "2027-05-31"]


# Clocks that change


def moments(rule: str, start: str, number: int, zone) -> list[str]:
    times = [start, *following(rule, start, number, zone=zone)]
    return [moment_of(datetime.fromisoformat(time), zone).isoformat() for time in times]


def test_a_time_keeps_its_wall_clock_time_through_changes_of_the_clock():
    assert moments("FREQ=DAILY", "2026-03-28T09:00:00", 1, BERLIN) == [
        "2026-03-28T08:00:00+00:00", "2026-03-29T07:00:00+00:00",
    ]  # fmt: skip


def test_a_time_that_does_not_exist_is_read_with_the_offset_before_the_gap():
    assert moments("FREQ=DAILY", "2026-03-28T02:30:00", 2, BERLIN) == [
        "2026-03-28T01:30:00+00:00", "2026-03-29T01:30:00+00:00", "2026-03-30T00:30:00+00:00",
    ]  # fmt: skip
    assert wall_of(moment_of(read("2026-03-29T02:30:00"), BERLIN), BERLIN) == read("2026-03-29T03:30:00")
    assert wall_of(moment_of(read("2026-10-04T02:15:00"), LORD_HOWE), LORD_HOWE) == read("2026-10-04T02:45:00")


def test_a_time_that_exists_twice_is_the_first():
    assert moments("FREQ=DAILY", "2026-10-24T02:30:00", 2, BERLIN) == [
        "2026-10-24T00:30:00+00:00", "2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00",
    ]  # fmt: skip


def test_the_next_slot_is_later_than_now_also_in_the_second_of_two_equal_hours():
    now = wall_of(datetime(2026, 10, 25, 1, 15, tzinfo=timezone.utc), BERLIN)
    assert (now.isoformat(), now.fold) == ("2026-10-25T02:15:00", 1)
    found = next_slot(
        read_rule("FREQ=DAILY"), start=read("2026-10-20T02:30:00"), slot=read("2026-10-24T02:30:00"), number=5,
        after=now, from_completion=False, zone=BERLIN,
    )  # fmt: skip
    assert found == (read("2026-10-26T02:30:00"), 7)


def test_a_slot_in_a_gap_is_next_until_its_moment():
    slots = {"rule": "FREQ=DAILY", "start": "2026-03-28T02:30:00", "zone": BERLIN}
    assert following_one(after="2026-03-29T03:10:00", **slots) == ("2026-03-29T02:30:00", 2)
    assert following_one(after="2026-03-29T03:30:00", **slots) == ("2026-03-30T02:30:00", 3)


def test_a_slot_of_a_day_that_a_zone_skipped_is_on_the_day_after_and_there_are_no_two_on_it():
    assert moments("FREQ=DAILY", "2011-12-29T09:00:00", 2, APIA) == [
        "2011-12-29T19:00:00+00:00", "2011-12-30T19:00:00+00:00", "2011-12-31T19:00:00+00:00",
    ]  # fmt: skip
    assert following_one("FREQ=DAILY", "2011-12-30T09:00:00", zone=APIA) == ("2012-01-01T09:00:00", 3)
    assert following_one("FREQ=DAILY", "2011-12-29T09:00:00", after="2011-12-31T08:00:00", zone=APIA) == (
        "2011-12-30T09:00:00", 2,
    )  # fmt: skip


def test_from_completion_a_slot_on_a_skipped_day_does_not_count_twice():
    completed = {"after": "2011-12-29T10:00:00", "from_completion": True, "zone": APIA}
    assert following_one("FREQ=DAILY", "2011-12-30T09:00:00", **completed) == ("2012-01-01T09:00:00", 2)


@pytest.mark.parametrize("slot", ["2026-03-28T02:30:00", "2026-03-29T02:30:00", "2026-10-25T02:30:00"])
def test_the_slot_of_a_moment_is_found_again(slot):
    assert slot_at(moment_of(read(slot), BERLIN), BERLIN, read("2026-01-01T02:30:00")) == read(slot)


def test_the_slot_of_a_moment_is_found_again_if_it_was_moved_to_the_next_day():
    assert slot_at(moment_of(read("2011-12-30T09:00:00"), APIA), APIA, read("2011-12-01T09:00:00")) == read(
        "2011-12-30T09:00:00"
    )
    nuuk = read_zone("America/Nuuk")
    moved = moment_of(read("2026-03-28T23:30:00"), nuuk)
    assert wall_of(moved, nuuk) == read("2026-03-29T00:30:00")
    assert slot_at(moved, nuuk, read("2026-03-01T23:30:00")) == read("2026-03-28T23:30:00")


def test_the_slot_of_a_moment_is_its_wall_clock_time_if_no_slot_has_that_moment():
    moment = datetime(2026, 6, 3, 7, 15, tzinfo=timezone.utc)
    assert slot_at(moment, BERLIN, read("2026-01-01T02:30:00")) == read("2026-06-03T09:15:00")


def test_moments_outside_of_the_years_1_to_9999_overflow():
    with pytest.raises(OverflowError):
        moment_of(read("9999-12-31T23:00:00"), NEW_YORK)
    with pytest.raises(OverflowError):
        wall_of(datetime(1, 1, 1, tzinfo=timezone.utc), NEW_YORK)


# Rules that never occur, and bounded work


@pytest.mark.parametrize(
    ("rule", "start"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-02-28"),
        ("FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=31", "2026-04-30"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "2026-02-28"),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=2", "2026-02-28"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-06-02"),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", "2026-02-28"),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=30;BYDAY=MO", "2026-02-28"),
        ("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2", "2026-06-01"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29;BYSETPOS=1", "2026-02-28"),
        ("FREQ=DAILY;COUNT=1", "2026-06-01"),
        ("FREQ=DAILY;UNTIL=20260601", "2026-06-01"),
        ("FREQ=YEARLY;INTERVAL=1000", "9000-06-01"),
    ],
)
def test_a_series_without_a_second_slot_is_recognised(rule, start):
    assert not occurs_again(read_rule(rule), read(start))
    assert not occurs_again(read_rule(rule), read(f"{start}T09:00:00"), BERLIN)


def test_a_rare_slot_is_found():
    assert following("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2072-02-29", 1) == ["2112-02-29"]
    assert following("FREQ=DAILY;INTERVAL=291;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2024-02-29", 1) == ["6704-02-29"]
    assert occurs_again(read_rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO"), read("2026-06-01"))


@pytest.mark.trial
def test_the_work_is_bounded_for_every_rule():
    """Measured on two busy cores: 8 ms at most, with 2,000 years of missed slots."""
    filters = [
        "BYDAY=MO",
        "BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "BYMONTH=12;BYMONTHDAY=31;BYDAY=MO",
        "BYMONTH=2;BYDAY=SA",
    ]
    for text in (
        f"FREQ={frequency};INTERVAL={interval};{each}"
        for frequency in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
        for interval in (1, 2, 7, 97, 291, 773, 994, 997, 1000)
        for each in (*filters, "WKST=SU")
        if frequency != "WEEKLY" or "BYMONTHDAY" not in each
    ):
        for start in ("0001-01-01", "2026-01-01"):
            rule, slot, measured = read_rule(text), read(start), []
            for _ in range(3):
                began = process_time()
                next_slot(rule, start=slot, slot=slot, number=1, after=date(2026, 11, 26), from_completion=False)
                measured.append(process_time() - began)
            assert min(measured) < 0.05, (text, start, measured)
