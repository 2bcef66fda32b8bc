"""Repetition rules: what is accepted, in which form it is kept, and how each mistake is named."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from service.recurrence.rules import LONGEST, PARTS, Rule, RuleError, read_rule

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "recurrence.md"
MONDAY, TUESDAY, FRIDAY, SUNDAY = 0, 1, 4, 6


def test_each_part_of_a_rule_is_read():
    text = "FREQ=MONTHLY;INTERVAL=2;BYDAY=MO,-1FR;BYMONTHDAY=1,-1;BYMONTH=1,12;BYSETPOS=1,-1;COUNT=10;WKST=SU"
    assert read_rule(text) == Rule(
        text=text,
        frequency="MONTHLY",
        interval=2,
        by_day=((0, MONDAY), (-1, FRIDAY)),
        by_month_day=(1, -1),
        by_month=(1, 12),
        by_set_position=(1, -1),
        count=10,
        week_start=SUNDAY,
    )  # fmt: skip


@pytest.mark.parametrize("frequency", ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
def test_the_frequency_alone_is_a_rule(frequency):
    text = f"FREQ={frequency}"
    assert read_rule(text) == Rule(text, frequency)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("20261231", date(2026, 12, 31)),
        ("20261231T225959", datetime.fromisoformat("2026-12-31T22:59:59")),
        ("20261231T225959Z", datetime(2026, 12, 31, 22, 59, 59, tzinfo=timezone.utc)),
    ],
)
def test_until_is_a_day_or_a_wall_clock_time_or_a_moment(text, until):
    rule = read_rule(f"FREQ=DAILY;UNTIL={text}")
    assert rule.until == until
    assert type(rule.until) is type(until)
    assert rule.text == f"FREQ=DAILY;UNTIL={text}"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("freq=weekly;byday=mo,fr", "FREQ=WEEKLY;BYDAY=MO,FR"),
        ("RRULE:FREQ=DAILY", "FREQ=DAILY"),
        ("rrule: FREQ=DAILY", "FREQ=DAILY"),
        ("FREQ=DAILY;", "FREQ=DAILY"),
        ("  FREQ = WEEKLY ; BYDAY = MO , FR ;\r\n", "FREQ=WEEKLY;BYDAY=MO,FR"),
        ("INTERVAL=2;FREQ=DAILY", "INTERVAL=2;FREQ=DAILY"),
        ("FREQ=MONTHLY;BYDAY=+1MO", "FREQ=MONTHLY;BYDAY=+1MO"),
        ("FREQ=DAILY;UNTIL=2026-12-31", "FREQ=DAILY;UNTIL=20261231"),
        ("FREQ=DAILY;UNTIL=2026-12-31T22:59:59z", "FREQ=DAILY;UNTIL=20261231T225959Z"),
    ],
)
def test_the_form_does_not_matter_and_one_form_is_kept(given, kept):
    rule = read_rule(given)
    assert rule.text == kept
    assert read_rule(kept) == rule


def test_a_repeated_item_of_a_list_counts_once():
    rule = read_rule("FREQ=MONTHLY;BYDAY=MO,MO,1TU,+1TU;BYMONTHDAY=1,01,+1")
    assert rule.by_day == ((0, MONDAY), (1, TUESDAY))
    assert rule.by_month_day == (1,)


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        ("", "RRULE", "RRULE is empty; send a rule such as FREQ=DAILY"),
        (" ; ", "RRULE", "RRULE is empty; send a rule such as FREQ=DAILY"),
        ("daily", "RRULE", "RRULE must be parts such as FREQ=WEEKLY;BYDAY=MO, separated by semicolons"),
        ("FREQ=DAILY;;COUNT=3", "RRULE", "RRULE must be parts such as FREQ=WEEKLY;BYDAY=MO, separated by semicolons"),
        ("FREQ=DAILY;<b>=1", "RRULE", "RRULE must be parts such as FREQ=WEEKLY;BYDAY=MO, separated by semicolons"),
        ("FREQ=DAILY;\0=1", "RRULE", "RRULE must be parts such as FREQ=WEEKLY;BYDAY=MO, separated by semicolons"),
        ("FREQ=DAıLY", "RRULE", "RRULE must have letters from A to Z only, such as FREQ=WEEKLY;BYDAY=MO"),
        ("FREQ=DAILY;COUNT=٣", "RRULE", "RRULE must have letters from A to Z only, such as FREQ=WEEKLY;BYDAY=MO"),
        ("FREQ=DAILY;" + LONGEST * "X", "RRULE", "RRULE must have at most 500 characters"),
        ("INTERVAL=2", "FREQ", "FREQ is missing; begin the rule with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("FREQ=HOURLY", "FREQ", "FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("FREQ=", "FREQ", "FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("FREQ=DAI LY", "FREQ", "FREQ must be DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ", "FREQ occurs more than once; send it once"),
        ("FREQ=DAILY;INTERVAL=2;interval=2", "INTERVAL", "INTERVAL occurs more than once; send it once"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20261231", "UNTIL", "UNTIL and COUNT cannot be combined; send one of them"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY",
         "BYMONTHDAY is not allowed with FREQ=WEEKLY; use FREQ=DAILY, MONTHLY or YEARLY"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY", "BYDAY must be days without numbers, such as MO, with FREQ=WEEKLY"),
        ("FREQ=DAILY;BYDAY=-1MO", "BYDAY", "BYDAY must be days without numbers, such as MO, with FREQ=DAILY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY",
         "BYDAY must have numbers from 1 to 5 or from -5 to -1 within a month, such as -1FR"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-6MO", "BYDAY",
         "BYDAY must have numbers from 1 to 5 or from -5 to -1 within a month, such as -1FR"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS",
         "BYSETPOS needs BYDAY, BYMONTHDAY or BYMONTH to select from; send one of them too"),
        ("FREQ=WEEKLY;WKST=MONDAY", "WKST", "WKST must be one of MO, TU, WE, TH, FR, SA, SU"),
    ],
)  # fmt: skip
def test_an_error_names_the_part_and_says_what_to_do(text, part, message):
    with pytest.raises(RuleError) as raised:
        read_rule(text)
    assert (raised.value.part, raised.value.message) == (part, message)
    assert str(raised.value) == message


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1.5", "", "x", "1,2", "1e3", "9" * 300])
def test_an_interval_is_a_whole_number_from_1_to_1000(value):
    with pytest.raises(RuleError, match=r"^INTERVAL must be a whole number from 1 to 1000$"):
        read_rule(f"FREQ=DAILY;INTERVAL={value}")
    assert [read_rule(f"FREQ=DAILY;INTERVAL={number}").interval for number in (1, 1000)] == [1, 1000]


@pytest.mark.parametrize("value", ["0", "10001", "-1", "", "x"])
def test_a_count_is_a_whole_number_from_1_to_10000(value):
    with pytest.raises(RuleError, match=r"^COUNT must be a whole number from 1 to 10000$"):
        read_rule(f"FREQ=DAILY;COUNT={value}")
    assert [read_rule(f"FREQ=DAILY;COUNT={number}").count for number in (1, 10_000)] == [1, 10_000]


@pytest.mark.parametrize(
    ("part", "values", "numbers"),
    [
        ("BYMONTHDAY", ["0", "32", "-32", "1,", ",1", "", "first"], "from 1 to 31 or from -31 to -1"),
        ("BYMONTH", ["0", "13", "-1", "JAN", ""], "from 1 to 12"),
        ("BYSETPOS", ["0", "367", "-367", "", "last"], "from 1 to 366 or from -366 to -1"),
    ],
)
def test_a_list_of_numbers_is_in_its_range(part, values, numbers):
    for value in values:
        with pytest.raises(RuleError) as raised:
            read_rule(f"FREQ=YEARLY;BYDAY=MO;{part}={value}")
        message = f"{part} must be whole numbers {numbers}, separated by commas"
        assert (raised.value.part, raised.value.message) == (part, message), value


@pytest.mark.parametrize("value", ["", "MON", "0MO", "54MO", "-54MO", "MO,", "MO;TU=1", "1", "MO TU", "MO-1"])
def test_a_day_is_two_letters_after_an_optional_number(value):
    with pytest.raises(RuleError):
        read_rule(f"FREQ=YEARLY;BYDAY={value}")
    assert read_rule("FREQ=YEARLY;BYDAY=53MO,-53SU").by_day == ((53, MONDAY), (-53, SUNDAY))


@pytest.mark.parametrize(
    "value",
    ["", "2026", "20260230", "20261301", "00000101", "20261231T", "20261231T2400", "20261231T250000Z", "31.12.2026",
     "20261231T235960Z", "20261231T225959+0100"],
)  # fmt: skip
def test_until_must_be_a_day_or_a_moment_that_exists(value):
    with pytest.raises(RuleError) as raised:
        read_rule(f"FREQ=DAILY;UNTIL={value}")
    message = "UNTIL must be a day such as 20261231, or a timestamp such as 20261231T225959Z"
    assert (raised.value.part, raised.value.message) == ("UNTIL", message)


@pytest.mark.parametrize(
    "name",
    ["BYHOUR", "BYMINUTE", "BYSECOND", "BYYEARDAY", "BYWEEKNO", "BYEASTER", "RSCALE", "SKIP", "X-NAME", "BYWEEKDAY"],
)
def test_a_part_outside_of_the_supported_ones_is_named(name):
    with pytest.raises(RuleError) as raised:
        read_rule(f"FREQ=DAILY;{name}=1")
    message = f"{name} is not supported; the supported parts are {', '.join(PARTS)}"
    assert (raised.value.part, raised.value.message) == (name, message)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY", "DTSTART"),
        ("DTSTART;TZID=Europe/Berlin:20260101T090000\r\nRRULE:FREQ=DAILY", "DTSTART"),
        ("RRULE:FREQ=DAILY\nEXDATE:20260102", "EXDATE"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "RRULE"),
    ],
)
def test_several_lines_of_a_calendar_are_refused(text, part):
    with pytest.raises(RuleError) as raised:
        read_rule(text)
    message = "RRULE must be one rule alone, such as FREQ=WEEKLY; a series starts when its task is due"
    assert (raised.value.part, raised.value.message) == (part, message)


def test_the_errors_in_the_reference_are_those_of_the_service():
    rows = re.findall(r"^\| `(.+)` \| (.+) \|$", REFERENCE.read_text().partition("## Edge cases")[0], re.MULTILINE)
    errors = [(text, message) for text, message in rows if "=" in text or text == "daily"]
    assert len(errors) == 18
    for text, message in errors:
        with pytest.raises(RuleError) as raised:
            read_rule(text)
        assert raised.value.message == message


def test_the_reference_lists_exactly_the_supported_parts():
    first_table = REFERENCE.read_text().partition("Lists have commas")[0]
    assert tuple(re.findall(r"^\| `([A-Z]+)` \|", first_table, re.MULTILINE)) == PARTS
