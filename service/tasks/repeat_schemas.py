"""The repetition of a task in requests and responses."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.recurrence.rules import LONGEST, RuleError, read_rule
from service.recurrence.zones import zone_name
from service.tasks.series import Repeat
from service.web.fields import PartError, rule

EXAMPLE = {"rrule": "FREQ=WEEKLY;BYDAY=TH", "from": "schedule", "timezone": "Europe/Berlin"}


def _rrule(sent: str) -> str:
    try:
        return read_rule(sent).text
    except RuleError as error:
        raise ValueError(error.message) from None


def _zone(sent: str | None) -> str | None:
    return None if sent is None else zone_name(sent)


RRule = Annotated[
    str,
    rule(
        "an RRULE of RFC 5545 with the parts FREQ (DAILY, WEEKLY, MONTHLY or YEARLY), INTERVAL, BYDAY, BYMONTHDAY, "
        "BYMONTH, BYSETPOS, WKST, and COUNT or UNTIL",
        example=EXAMPLE["rrule"], read=_rrule, minLength=1, maxLength=LONGEST,
    ),
]  # fmt: skip
Origin = Annotated[
    Literal["schedule", "completion"],
    rule(
        "schedule (the next occurrence follows from the rule alone) or completion (it is counted from the day on which "
        "the task is completed)",
        example="schedule",
    ),
]
Timezone = Annotated[
    Annotated[str, Meta(extra_json_schema={"format": "iana-time-zone"})] | UnsetType | None,
    rule(
        "the IANA time zone in which the rule applies; required with due_at; with due_date, a day ends at midnight in "
        "this zone, by default in UTC",
        example="Europe/Berlin", read=_zone,
    ),
]  # fmt: skip


class RepeatDraft(Struct, kw_only=True, forbid_unknown_fields=True, rename={"origin": "from"}):
    """How a task repeats."""

    rrule: RRule
    origin: Origin = "schedule"
    timezone: Timezone = UNSET


class TaskRepeat(Struct, kw_only=True, rename={"origin": "from"}):
    """How a task repeats, in responses."""

    rrule: Annotated[str, Meta(description="The rule, in upper case.", examples=[EXAMPLE["rrule"]])]
    origin: Annotated[Literal["schedule", "completion"], Meta(examples=["schedule"])]
    timezone: Annotated[str, Meta(description="The IANA time zone.", examples=["Europe/Berlin"])] | UnsetType = UNSET


def read_repeat(sent: RepeatDraft | None) -> Repeat | None:
    """Return the rule as the database stores it. Raises PartError, which names the invalid member."""
    if sent is None:
        return None
    try:
        rrule = _rrule(sent.rrule)
    except ValueError as error:
        raise PartError("rrule", str(error)) from None
    try:
        return Repeat(rrule, sent.origin, _zone(sent.timezone or None))
    except ValueError as error:
        raise PartError("timezone", str(error)) from None


Repetition = Annotated[
    RepeatDraft | UnsetType | None,
    rule("how the task repeats, or null; it needs due_date or due_at", example=EXAMPLE, read=read_repeat),
]
