"""RRULEs for other programs, expanded by `dateutil`: they give the same slots as the service."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from service.recurrence.rules import read_rule
from service.recurrence.slots import Slot, next_slot
from service.recurrence.standard import standard_rule
from service.recurrence.zones import read_zone

BERLIN = read_zone("Europe/Berlin")
RULES = [
    "FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=DAILY;BYMONTH=1,7;BYDAY=MO,SU", "FREQ=WEEKLY",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU", "FREQ=MONTHLY", "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYMONTHDAY=15,31", "FREQ=MONTHLY;BYMONTHDAY=1,28,30", "FREQ=MONTHLY;BYMONTHDAY=29,30",
    "FREQ=MONTHLY;BYMONTHDAY=29,-1", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MONTHLY;BYMONTH=4,6",
    "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=2", "FREQ=MONTHLY;BYMONTHDAY=30;BYSETPOS=1", "FREQ=YEARLY",
    "FREQ=YEARLY;BYMONTH=2", "FREQ=YEARLY;BYMONTH=2,3", "FREQ=YEARLY;BYMONTH=2,3;BYMONTHDAY=29",
    "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "FREQ=DAILY;COUNT=9", "FREQ=MONTHLY;COUNT=7",
    "FREQ=DAILY;UNTIL=20280310", "FREQ=MONTHLY;UNTIL=20281231T225959Z",
]  # fmt: skip


def following(rule: str, start: Slot, slot: Slot, number: int) -> list[Slot]:
    """Return the next slots, at most 12, as the service computes them."""
    found = []
    while len(found) < 12:
        after = next_slot(
            read_rule(rule), start=start, slot=slot, number=number, after=slot, from_completion=False, zone=BERLIN
        )
        if after is None:
            break
        slot, number = after
        found.append(slot)
    return found


def expanded(rule: str, slot: Slot) -> list[Slot]:
    """Return what another program makes of the rule: its slots after `slot`, at most 12."""
    begin = slot if isinstance(slot, datetime) else datetime.combine(slot, time())
    zoned = begin.replace(tzinfo=BERLIN) if isinstance(slot, datetime) else begin
    found = list(rrulestr(rule, dtstart=zoned).xafter(zoned, count=12))
    return [one.replace(tzinfo=None) if isinstance(slot, datetime) else one.date() for one in found]


@given(
    rule=st.sampled_from(RULES),
    day=st.dates(date(2024, 1, 1), date(2028, 3, 1)) | st.sampled_from([date(2024, 2, 29), date(2026, 1, 31)]),
    has_time=st.booleans(), place=st.integers(0, 5),
)  # fmt: skip
def test_a_calendar_that_knows_only_the_standard_gets_the_same_slots(rule, day, has_time, place):
    start = datetime.combine(day, time(9, 30)) if has_time else day
    slots = following(rule, start, start, 1)[:place]
    slot, number = (slots[-1], len(slots) + 1) if slots else (start, 1)
    written = standard_rule(read_rule(rule), start=start, slot=slot, number=number, zone=BERLIN)
    assert written is not None
    assert expanded(written, slot) == following(rule, start, slot, number)
    assert read_rule(written).text == written


@pytest.mark.parametrize(
    ("rule", "start", "written"),
    [
        ("FREQ=MONTHLY", date(2026, 1, 31), "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("FREQ=MONTHLY", date(2026, 1, 30), "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"),
        ("FREQ=MONTHLY", date(2026, 1, 28), "FREQ=MONTHLY;BYMONTHDAY=28"),
        ("FREQ=YEARLY", date(2028, 2, 29), "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1"),
        ("FREQ=YEARLY", date(2028, 4, 30), "FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=30"),
        ("FREQ=WEEKLY", date(2026, 1, 5), "FREQ=WEEKLY;BYDAY=MO"),
        ("FREQ=MONTHLY;BYMONTHDAY=15,31", date(2026, 1, 15), "FREQ=MONTHLY;BYMONTHDAY=15,-1"),
        ("FREQ=MONTHLY;BYMONTHDAY=30,-3", date(2026, 1, 30), None),
        ("FREQ=YEARLY;INTERVAL=2;BYMONTH=1,2", date(2026, 1, 30), None),
    ],
)
def test_short_months_and_implicit_parts_are_written_in_the_words_of_the_standard(rule, start, written):
    assert standard_rule(read_rule(rule), start=start, slot=start, number=1, zone=BERLIN) == written


@pytest.mark.parametrize(
    ("rule", "slot", "written"),
    [
        ("UNTIL=20261231", date(2026, 1, 5), "UNTIL=20261231"),
        ("UNTIL=20261231T230000Z", date(2026, 1, 5), "UNTIL=20270101"),  # its day in Berlin
        ("UNTIL=20260701", datetime.fromisoformat("2026-01-05T09:00"), "UNTIL=20260701T215959Z"),
        ("UNTIL=20261231T090000", datetime.fromisoformat("2026-01-05T09:00"), "UNTIL=20261231T225959Z"),
        ("UNTIL=99991231", datetime.fromisoformat("2026-01-05T09:00"), ""),
        ("COUNT=9", date(2026, 1, 5), "COUNT=6"),
    ],
)
def test_the_end_has_the_type_of_the_slots_and_counts_from_this_one(rule, slot, written):
    found = standard_rule(read_rule(f"FREQ=DAILY;{rule}"), start=slot, slot=slot, number=4, zone=BERLIN)
    assert found == "FREQ=DAILY" + (f";{written}" if written else "")
