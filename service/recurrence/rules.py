"""Read repetition rules: RRULE of RFC 5545 (section 3.3.10), without the parts finer than a day.

The meaning is read strictly, the form leniently: case, white space, a prefix `RRULE:` and a trailing semicolon do not
matter, and the parts may have any order. The texts of errors are written for developers of frontends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from typing import Any, Literal

Frequency = Literal["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]

PARTS = ("FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "COUNT", "UNTIL", "WKST")
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

LONGEST = 500  # characters
MOST_INTERVAL = 1_000
MOST_COUNT = 10_000
MOST_WEEKS = 53  # of a year
MOST_WEEKS_OF_A_MONTH = 5

_NAME = re.compile(r"X-[A-Z0-9-]{1,30}|[A-Z]{1,30}")
_AROUND = re.compile(r"\s*([;=,:])\s*")
_PROPERTY = re.compile(r"^(DTSTART|DTEND|DURATION|EXDATE|EXRULE|RDATE)\b", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}")
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:T(\d{2}):?(\d{2}):?(\d{2})(Z)?)?")
_UNTIL_RULE = "UNTIL must be a day such as 20261231, or a timestamp such as 20261231T225959Z"


class RuleError(ValueError):
    """A rule that cannot be accepted.

    `part` is the name of the part at fault, and RRULE for the rule as a whole. `message` says in a sentence without
    its full stop what to do.
    """

    def __init__(self, part: str, message: str) -> None:
        """Keep the part and the message."""
        super().__init__(message)
        self.part = part
        self.message = message


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read. Empty tuples and None stand for parts that the rule does not have.

    `text` is the rule in its canonical form: in upper case, without white space, with its parts in the given order.
    A weekday is 0 for Monday to 6 for Sunday. `by_day` has pairs of a number and a weekday: (-1, 4) is the last Friday,
    (0, 4) every Friday. `until` is a day, a wall-clock time, or a moment in UTC.
    """

    text: str
    frequency: Frequency
    interval: int = 1
    by_month: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[tuple[int, int], ...] = ()
    by_set_position: tuple[int, ...] = ()
    count: int | None = None
    until: date | datetime | None = None
    week_start: int = 0


def read_rule(text: str) -> Rule:
    """Return the rule in `text`. Raises RuleError."""
    if len(text) > LONGEST:
        raise RuleError("RRULE", f"RRULE must have at most {LONGEST} characters")
    values = _split(text)
    if "FREQ" not in values:
        raise RuleError("FREQ", "FREQ is missing; begin the rule with FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")
    read = {name: READERS[name](name, value) for name, value in values.items()}
    if "UNTIL" in read:
        values["UNTIL"], read["UNTIL"] = read["UNTIL"]
    canonical = ";".join(f"{name}={value}" for name, value in values.items())
    rule = Rule(canonical, **{FIELDS[name]: value for name, value in read.items()})
    _check(rule)
    return rule


def _split(text: str) -> dict[str, str]:
    """Return the values of the parts by name, in upper case and without white space."""
    if not text.isascii():  # the upper case of some other letters is ASCII
        raise RuleError("RRULE", "RRULE must have letters from A to Z only, such as FREQ=WEEKLY;BYDAY=MO")
    line = _AROUND.sub(r"\1", text.strip().upper())
    if "\n" in line or _PROPERTY.search(line):
        name = property_[1] if (property_ := _PROPERTY.search(line)) else "RRULE"
        raise RuleError(name, "RRULE must be one rule alone, such as FREQ=WEEKLY; a series starts when its task is due")
    line = line.removeprefix("RRULE:").rstrip(";")
    if not line:
        raise RuleError("RRULE", "RRULE is empty; send a rule such as FREQ=DAILY")
    values: dict[str, str] = {}
    for part in line.split(";"):
        name, equals, value = part.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise RuleError("RRULE", "RRULE must be parts such as FREQ=WEEKLY;BYDAY=MO, separated by semicolons")
        if name not in PARTS:
            raise RuleError(name, f"{name} is not supported; the supported parts are {', '.join(PARTS)}")
        if name in values:
            raise RuleError(name, f"{name} occurs more than once; send it once")
        values[name] = value
    return values


def _frequency(name: str, value: str) -> str:
    if value not in FREQUENCIES:
        raise RuleError(name, f"{name} must be DAILY, WEEKLY, MONTHLY or YEARLY")
    return value


def _number(most: int) -> Callable[[str, str], int]:
    """Return a reader of one number from 1 to `most`."""

    def read(name: str, value: str) -> int:
        number = int(value) if _NUMBER.fullmatch(value) else 0
        if not 1 <= number <= most:
            raise RuleError(name, f"{name} must be a whole number from 1 to {most}")
        return number

    return read


def _numbers(most: int, *, negative: bool) -> Callable[[str, str], tuple[int, ...]]:
    """Return a reader of numbers from 1 to `most`, separated by commas. `negative` numbers count from the end."""

    def read(name: str, value: str) -> tuple[int, ...]:
        items = value.split(",")
        numbers = [int(item) if _NUMBER.fullmatch(item) else 0 for item in items]
        if not all(1 <= (abs(number) if negative else number) <= most for number in numbers):
            from_the_end = f" or from -{most} to -1" if negative else ""
            raise RuleError(name, f"{name} must be whole numbers from 1 to {most}{from_the_end}, separated by commas")
        return tuple(dict.fromkeys(numbers))

    return read


def _days(name: str, value: str) -> tuple[tuple[int, int], ...]:
    found = []
    for item in value.split(","):
        day = _DAY.fullmatch(item)
        if day is None or (day[1] and not 1 <= abs(int(day[1])) <= MOST_WEEKS):
            raise RuleError(name, f"{name} must be days such as MO or -1FR, separated by commas; the days are MO to SU")
        found.append((int(day[1] or 0), WEEKDAYS.index(day[2])))
    return tuple(dict.fromkeys(found))


def _until(name: str, value: str) -> tuple[str, date | datetime]:
    """Return the canonical text and the last day or time."""
    if (found := _UNTIL.fullmatch(value)) is None:
        raise RuleError(name, _UNTIL_RULE)
    year, month, day, hour, minute, second, utc = found.groups(default="")
    try:
        last = date(int(year), int(month), int(day))
        if not hour:
            return f"{year}{month}{day}", last
        moment = datetime.combine(last, time(int(hour), int(minute), int(second), tzinfo=timezone.utc if utc else None))
    except ValueError:  # such as 30 February
        raise RuleError(name, _UNTIL_RULE) from None
    return f"{year}{month}{day}T{hour}{minute}{second}{utc}", moment


def _weekday(name: str, value: str) -> int:
    if value not in WEEKDAYS:
        raise RuleError(name, f"{name} must be one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


READERS: dict[str, Callable[[str, str], Any]] = {
    "FREQ": _frequency,
    "INTERVAL": _number(MOST_INTERVAL),
    "BYDAY": _days,
    "BYMONTHDAY": _numbers(31, negative=True),
    "BYMONTH": _numbers(12, negative=False),
    "BYSETPOS": _numbers(366, negative=True),
    "COUNT": _number(MOST_COUNT),
    "UNTIL": _until,
    "WKST": _weekday,
}
FIELDS = {
    "FREQ": "frequency", "INTERVAL": "interval", "BYDAY": "by_day", "BYMONTHDAY": "by_month_day",
    "BYMONTH": "by_month", "BYSETPOS": "by_set_position", "COUNT": "count", "UNTIL": "until", "WKST": "week_start",
}  # fmt: skip


def _check(rule: Rule) -> None:
    """Raise RuleError for parts that exclude each other (RFC 5545 section 3.3.10)."""
    if rule.count is not None and rule.until is not None:
        raise RuleError("UNTIL", "UNTIL and COUNT cannot be combined; send one of them")
    if rule.frequency == "WEEKLY" and rule.by_month_day:
        raise RuleError("BYMONTHDAY", "BYMONTHDAY is not allowed with FREQ=WEEKLY; use FREQ=DAILY, MONTHLY or YEARLY")
    if rule.by_set_position and not (rule.by_day or rule.by_month_day or rule.by_month):
        raise RuleError("BYSETPOS", "BYSETPOS needs BYDAY, BYMONTHDAY or BYMONTH to select from; send one of them too")
    most = max((abs(number) for number, _weekday in rule.by_day), default=0)
    if most and rule.frequency in {"DAILY", "WEEKLY"}:
        raise RuleError("BYDAY", f"BYDAY must be days without numbers, such as MO, with FREQ={rule.frequency}")
    if most > MOST_WEEKS_OF_A_MONTH and (rule.frequency == "MONTHLY" or rule.by_month):
        raise RuleError("BYDAY", "BYDAY must have numbers from 1 to 5 or from -5 to -1 within a month, such as -1FR")
