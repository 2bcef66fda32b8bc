"""The log: one line for each event, in a format for machines or for people, whatever the message contains."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import sys
from datetime import datetime, timedelta

import pytest

from service import logs
from service.config import Settings
from service.logs.output import Writer


def record(message: str = "request", *arguments: object, level: int = logging.INFO, error=None, **fields: object):
    stack = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("doable.requests", level, __file__, 1, message, arguments, stack)
    if fields:
        made.fields = fields
    return made


def raised(error: Exception) -> Exception:
    """Raise an exception, so that it has a stack."""
    try:
        raise error
    except type(error):
        return error


def as_json(made: logging.LogRecord) -> dict:
    text = logs.JsonFormatter().format(made)
    assert "\n" not in text
    return json.loads(text)


@pytest.fixture
def logging_as_it_was():
    """Restore the logging of the process after a test that configures it."""
    names = [None, "sanic.root", "sanic.error", "sanic.access", "sanic.server", "asyncio", "tortoise", "aerich"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate
        logger.manager._clear_cache()


def test_a_line_is_an_object_with_time_level_logger_and_message_before_its_own_fields():
    line = as_json(record("%s of %d", "one", 2, method="GET", status=200, user_id=None))
    assert list(line) == ["time", "level", "logger", "message", "method", "status", "user_id"]
    assert (line["level"], line["logger"], line["message"]) == ("info", "doable.requests", "one of 2")
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 200, None)


def test_the_time_is_a_moment_in_utc_with_milliseconds():
    made = record()
    time = datetime.fromisoformat(as_json(made)["time"])
    assert time.utcoffset() == timedelta(0)
    assert abs(time.timestamp() - made.created) < 0.001


def test_a_message_of_several_lines_stays_one_line():
    assert as_json(record("first\nsecond\r\u2028third"))["message"] == "first\nsecond\r\u2028third"


def test_an_error_brings_its_stack_in_the_same_line():
    line = as_json(record(level=logging.ERROR, error=raised(ValueError("told"))))
    assert line["level"] == "error"
    assert line["stack"].startswith("Traceback (most recent call last):")
    assert line["stack"].endswith("ValueError: told")
    assert "stack" not in as_json(record())


def test_a_line_with_invalid_unicode_is_written_anyway():
    line = as_json(record("\ud800", error=raised(ValueError("\ud800")), route="ü"))
    assert line["message"] == "\ud800"
    assert line["route"] == "ü"
    assert line["stack"].endswith("ValueError: \ud800")


def test_a_field_of_any_kind_is_written_as_its_text():
    assert as_json(record(reason=ValueError("no"), limits={"a": complex(1, 2)}))["reason"] == "no"


def test_the_text_format_shows_time_level_message_and_the_set_fields():
    made = record("request", method="GET", user_id=None, status=404)
    line = logs.TextFormatter().format(made)
    assert line.startswith(datetime.fromtimestamp(made.created).astimezone().strftime("%H:%M:%S"))
    assert line[8:] == " info    request method=GET status=404"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("two words", '"two words"'),
        ('say "hi"', r'"say \"hi\""'),
        ("a=b", '"a=b"'),
        ("C:\\", r'"C:\\"'),
        ("", '""'),
        ("first\nsecond\r", r'"first\nsecond\r"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("\x9b31mred", r'"\u009b31mred"'),
        ("a\u2028b", r'"a\u2028b"'),
        ("\u202etxt", r'"\u202etxt"'),
        ("\ud800", r'"\ud800"'),
        ("Ünïcode", "Ünïcode"),
        ("/api/{user_id}/tasks", "/api/{user_id}/tasks"),
        (True, "True"),
        (["title", "tags[]"], "title,tags[]"),
        (["title", "line 1"], '"title,line 1"'),
    ],
)
def test_the_text_format_quotes_a_value_whose_end_would_be_ambiguous(value, written):
    line = logs.TextFormatter().format(record("request", before=1, value=value, after=2))
    assert line[8:] == f" info    request before=1 value={written} after=2"


def test_the_text_format_puts_a_stack_in_a_field_below_the_line():
    lines = logs.TextFormatter().format(record("blocked", stack="first\n  second\n", seconds=2)).split("\n")
    assert lines[0].endswith(" info    blocked seconds=2")
    assert lines[1:] == ["first", "  second"]


def test_the_text_format_shows_the_stack_of_an_exception():
    lines = logs.TextFormatter().format(record(level=logging.WARNING, error=raised(ValueError("told")))).splitlines()
    assert lines[0].endswith(" warning request")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: told"


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(("level", "seen"), [("info", True), ("warning", False)])
def test_everything_goes_to_stdout_in_the_configured_form_from_the_configured_level(
    logging_as_it_was, capsys, form, level, seen
):
    settings = Settings.from_environ({"LOG_FORMAT": form, "LOG_LEVEL": level})
    logs.configure(settings)
    logs.configure(settings)
    logging.getLogger("doable.requests").info("told", extra={"fields": {"status": 200}})
    logging.getLogger("sanic.root").info("Goin' Fast")
    logging.getLogger("httpx").info("HTTP Request: GET https://issuer.example.com")
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert len(lines) == int(seen), "once, however often it is configured, and nothing of Sanic's chatter"
    if seen:
        assert ('"status":200' in lines[0]) == (form == "json")
        assert ("status=200" in lines[0]) == (form == "text")


class Kept(logging.Handler):
    """A handler of the standard library's kind that keeps its records."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("name", [None, "doable", "doable.requests"])
def test_a_handler_on_a_logger_sees_the_record_of_each_request(logging_as_it_was, capsys, form, name):
    handler, logger = Kept(), logging.getLogger(name)
    logger.addHandler(handler)
    try:
        logs.configure(Settings.from_environ({"LOG_FORMAT": form}))
        logs.request_ended({"method": "GET", "status": 200})
    finally:
        logger.removeHandler(handler)
    (seen,) = handler.records
    assert (seen.name, seen.levelno, seen.getMessage()) == ("doable.requests", logging.INFO, "request")
    assert seen.fields == {"method": "GET", "status": 200}
    assert logging.Formatter("%(levelname)s %(name)s %(message)s").format(seen) == "INFO doable.requests request"
    (line,) = capsys.readouterr().out.splitlines()
    assert "GET" in line
    assert "200" in line


def test_the_record_of_a_request_is_like_any_other(logging_as_it_was):
    logs.configure(Settings())
    handler = Kept()
    logging.getLogger("doable").addHandler(handler)
    try:
        logs.request_ended({"status": 200})
        logs.requests.info("request", extra={"fields": {"status": 200}})
    finally:
        logging.getLogger("doable").removeHandler(handler)
    made, usual = (dict(vars(one)) for one in handler.records)
    assert list(made) == list(usual)
    for name in ("created", "msecs", "relativeCreated", "pathname", "filename", "module"):  # the time, and the caller
        del made[name], usual[name]
    assert made | {"funcName": usual["funcName"]} == usual


def test_the_record_of_a_request_comes_from_the_factory_of_another_library_if_there_is_one(logging_as_it_was):
    class Traced(logging.LogRecord):
        trace = "4bf92f35"

    logs.configure(Settings())
    handler = Kept()
    logging.getLogger("doable").addHandler(handler)
    logging.setLogRecordFactory(Traced)
    try:
        logs.request_ended({"status": 200})
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
        logging.getLogger("doable").removeHandler(handler)
    (record,) = handler.records
    assert (record.trace, record.fields) == ("4bf92f35", {"status": 200})


def test_a_request_is_not_logged_below_the_configured_level(logging_as_it_was, capsys):
    logs.configure(Settings.from_environ({"LOG_LEVEL": "warning"}))
    logs.request_ended({"status": 200})
    assert capsys.readouterr().out == ""


@pytest.fixture
def only_ours(logging_as_it_was):
    """Configure logging, and remove the handlers of pytest. Returns a function that does so with other settings."""

    def configure(**settings: str) -> logging.Handler:
        logs.configure(Settings.from_environ(settings))
        root = logging.getLogger()
        root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, logs.StdoutHandler)]
        return root.handlers[0]

    return configure


@pytest.mark.parametrize("name", [None, "doable", "doable.requests"])
def test_a_handler_sees_requests_from_the_moment_it_is_added_until_it_is_removed(only_ours, capsys, name):
    only_ours()
    handler, logger = Kept(), logging.getLogger(name)
    logs.request_ended({"number": 1})
    logger.addHandler(handler)
    logs.request_ended({"number": 2})
    logger.removeHandler(handler)
    logs.request_ended({"number": 3})
    assert [seen.fields for seen in handler.records] == [{"number": 2}]
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("place", ["the logger", "our handler"])
def test_a_filter_sees_requests_from_the_moment_it_is_added(only_ours, capsys, place):
    ours = only_ours()
    logs.request_ended({"number": 1})
    filtered = ours if place == "our handler" else logs.requests

    def drop_second(seen: logging.LogRecord) -> bool:
        return seen.fields["number"] != 2

    filtered.addFilter(drop_second)
    try:
        logs.request_ended({"number": 2})
        logs.request_ended({"number": 3})
    finally:
        filtered.removeFilter(drop_second)
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [1, 3]


def test_a_library_that_replaces_the_call_of_handlers_sees_requests(only_ours, capsys, monkeypatch):
    only_ours()
    seen, original = [], logging.Logger.callHandlers

    def replacement(self: logging.Logger, made: logging.LogRecord) -> None:  # as Sentry's
        seen.append(made)
        original(self, made)

    monkeypatch.setattr(logging.Logger, "callHandlers", replacement)
    logs.request_ended({"status": 200})
    assert [made.fields for made in seen] == [{"status": 200}]
    assert json.loads(capsys.readouterr().out)["status"] == 200


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_line_of_a_request_does_not_depend_on_whether_there_is_a_record(only_ours, capsys, form):
    only_ours(LOG_FORMAT=form)
    fields = {"method": "GET", "status": 200, "user_id": None, "request_id": "two words"}
    logs.request_ended(fields)
    logs.requests.info("request", extra={"fields": fields})
    first, second = capsys.readouterr().out.splitlines()
    without_time = slice(9, None) if form == "text" else slice(len('{"time":"2026-11-26T00:00:00.000+00:00"'), None)
    assert first[without_time] == second[without_time]
    assert "two words" in first


@pytest.mark.parametrize("name", [None, "doable", "doable.requests"])
def test_a_level_that_is_set_later_applies_to_requests(only_ours, capsys, name):
    only_ours()
    logs.request_ended({"number": 1})
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel("WARNING")
    try:
        logs.request_ended({"number": 2})
    finally:
        logger.setLevel(before)
    logs.request_ended({"number": 3})
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [1, 3]


def test_a_request_is_not_logged_below_the_level_of_our_handler(only_ours, capsys):
    only_ours().setLevel("WARNING")
    logs.request_ended({"status": 200})
    assert capsys.readouterr().out == ""


async def test_requests_and_other_records_are_written_in_their_order(only_ours, capsys):
    only_ours()
    for number in range(6):
        if number % 2:
            logs.request_ended({"number": number})
        else:
            logging.getLogger("doable.order").info("told", extra={"fields": {"number": number}})
    assert capsys.readouterr().out == "", "they are collected"
    logs.drain()
    assert [json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()] == [*range(6)]


def written_by(descriptor: int, lines: list[str], monkeypatch) -> list[bytes]:
    """Write `lines`, and return the pieces that the operating system got."""
    pieces, write = [], os.write

    def record_and_write(target: int, piece: memoryview) -> int:
        if target == descriptor:
            pieces.append(bytes(piece))
        return write(target, piece)

    monkeypatch.setattr(os, "write", record_and_write)
    writer = Writer(descriptor, str)
    writer.put(lines)
    assert writer.drain(5)
    writer.end(5)
    return pieces


LINES = [f"{number:03} {'x' * 300}" for number in range(100)]


def test_a_file_gets_all_collected_lines_in_one_piece(tmp_path, monkeypatch):
    with (tmp_path / "log").open("wb") as file:
        (piece,) = written_by(file.fileno(), LINES, monkeypatch)
    assert piece.decode().splitlines() == LINES
    assert (tmp_path / "log").read_bytes() == piece


def test_a_pipe_gets_whole_lines_in_pieces_that_it_writes_atomically(monkeypatch):
    reader, descriptor = os.pipe()
    try:
        pieces = written_by(descriptor, LINES, monkeypatch)
    finally:
        os.close(reader)
        os.close(descriptor)
    assert b"".join(pieces).decode().splitlines() == LINES
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert max(map(len, pieces)) <= select.PIPE_BUF


def test_warnings_of_sanic_are_logged_in_our_format(logging_as_it_was, capsys):
    logging.getLogger("sanic.error").addHandler(logging.StreamHandler(sys.stderr))
    logs.configure(Settings())
    logging.getLogger("sanic.error").error("broken")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out)["message"] == "broken"


class Broken:
    """Close the reader of stdout."""

    def write(self, _text: str) -> None:
        raise BrokenPipeError

    def flush(self) -> None:
        pass


async def test_a_broken_stdout_loses_log_lines_and_nothing_else(logging_as_it_was, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Broken())
    logs.configure(Settings())
    monkeypatch.setattr(logs, "FLUSH_AFTER", 0)
    failed = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: failed.append(context))
    logs.request_ended({"status": 200})
    for _ in range(3):
        await asyncio.sleep(0)
    loop.set_exception_handler(before)
    assert failed == []
    assert "lines were lost" in (said := capsys.readouterr().err)
    assert "BrokenPipeError" in said
