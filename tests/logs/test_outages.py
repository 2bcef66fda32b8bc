"""An outage is logged once, again when its cause changes or after a while, and when it is over."""

from __future__ import annotations

import logging

import pytest

from service.logs.outages import Outage

logger = logging.getLogger("doable.tests")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger.name)
    return lambda: [(record.levelname, record.getMessage(), record.fields) for record in caplog.records]


def test_the_same_cause_is_logged_once_and_another_one_again(lines):
    outage = Outage(logger, lost="away", back="here again")
    for cause in ("refused", "refused", "refused", "timeout", "timeout", "refused"):
        outage.failed(cause, place="db")
    assert lines() == [
        ("WARNING", "away", {"place": "db", "error": "refused"}),
        ("WARNING", "away", {"place": "db", "error": "timeout"}),
        ("WARNING", "away", {"place": "db", "error": "refused"}),
    ]
    assert outage.cause == "refused"


def test_a_cause_that_lasts_is_logged_again_after_a_while(lines):
    outage = Outage(logger, lost="away", back="here again", remind_every=0)
    outage.failed("refused")
    outage.failed("refused")
    assert len(lines()) == 2


def test_a_recovery_is_logged_once_and_only_after_a_failure(lines):
    outage = Outage(logger, lost="away", back="here again")
    assert not outage.recovered()
    outage.failed("refused")
    assert outage.recovered(keys=2)
    assert not outage.recovered()
    assert lines()[1:] == [("INFO", "here again", {"keys": 2})]
    assert outage.cause is None
    outage.failed("refused")
    assert len(lines()) == 3, "the next outage is a new one, whatever its cause"
