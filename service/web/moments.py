"""Parse days and timestamps, for bodies, query strings and imports."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timezone

DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# RFC 3339 section 5.6, and unambiguous variants: without seconds, with a short offset, with a space before the offset.
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d+))?)?(?: ?([Zz]|[+-]\d{2}(?::?[0-5]\d)?))?", re.ASCII
)
# In a query string a '+' that was not percent-encoded arrives as a space.
LOST_PLUS = re.compile(r"(:\d{2}(?:\.\d+)?) {1,2}(?=\d{2}(?::?\d{2})?\Z)", re.ASCII)
LEAP_SECOND = 60
LAST_MOMENT = time(23, 59, 59, 999_999)
LONGEST = 100  # characters; a longer text is no timestamp

RULE = "a timestamp with its offset, such as 2026-12-24T18:00:00+01:00"
DAY_RULE = "a calendar day, YYYY-MM-DD"
NO_OFFSET = "has no offset from UTC; end it with Z or an offset, such as 2026-12-24T18:00:00+01:00"
OUT_OF_RANGE = "is outside of the years 1 to 9999 in UTC"


def read_moment(text: str) -> datetime:
    """Return the timestamp in `text` (RFC 3339), in UTC.

    Digits beyond microseconds are cut off, so that a timestamp at the end of a year never moves into the next year. For
    the same reason a leap second becomes the last microsecond before its end. Raises ValueError with a message for the
    client.
    """
    found = MOMENT.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise ValueError(f"must be {RULE}")
    day, minute, second, fraction, offset = found.groups()
    if offset is None:
        raise ValueError(NO_OFFSET)
    leap = second == str(LEAP_SECOND)
    clock = f"{minute}:{'59' if leap else second or '00'}.{'999999' if leap else (fraction or '0')[:6]:0<6}"
    try:
        local = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in {'Z', 'z'} else offset}")
    except ValueError:  # such as 30 February, or the 25th hour
        raise ValueError(f"must be {RULE}") from None
    try:
        moment = local.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(OUT_OF_RANGE) from None
    if leap and ((moment.month, moment.day) not in {(6, 30), (12, 31)} or moment.time() != LAST_MOMENT):
        raise ValueError("has a second 60, but UTC has leap seconds only at the end of June and December")
    return moment


def read_day(text: str) -> date:
    """Return the day in `text`. Raises ValueError with a message for the client."""
    if DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:  # such as 30 February
            raise ValueError(f"must be {DAY_RULE}") from None
    if is_moment(text):
        raise ValueError("is a timestamp; send it as due_at, or send the day alone, YYYY-MM-DD")
    raise ValueError(f"must be {DAY_RULE}")


def read_due_moment(text: str) -> datetime:
    """Return the timestamp in `text`, as `read_moment`. For a day, the error names the right field."""
    if DAY.fullmatch(text):
        raise ValueError(f"is a day; send it as due_date, or add a time and an offset: {text}T18:00:00Z")
    return read_moment(text)


def read_bound(text: str, at: time) -> datetime:
    """Return the timestamp in a query's `text`, or the time `at` of its day in UTC. Raises ValueError as above."""
    if DAY.fullmatch(text):
        try:
            return datetime.combine(date.fromisoformat(text), at, timezone.utc)
        except ValueError:
            raise ValueError("must be a day, or a timestamp with its offset") from None
    if not is_moment(text := LOST_PLUS.sub(r"\1+", text)):
        raise ValueError("must be a day, or a timestamp with its offset, such as 2026-12-24T18:00:00Z")
    return read_moment(text)


def is_moment(text: str) -> bool:
    """Return whether `text` has the form of a day with a time, with or without an offset."""
    return len(text) <= LONGEST and MOMENT.fullmatch(text) is not None
