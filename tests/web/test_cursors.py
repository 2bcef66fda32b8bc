"""Cursors: a written cursor can be read, by its own list only, and no other text is accepted."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.database.keyset import Position
from service.errors import InvalidInputError
from service.web import cursors

LIST = cursors.fingerprint({"sort": "created"})
KEYS = {
    "created": st.integers(0, 2**63 - 1).map(str),
    "updated": st.integers(0, 2**63 - 1).map(str),
    "title": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=600),
    "priority": st.sampled_from("0123"),
    "due_date": st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f+00").zfill(29))
    | st.sampled_from(["infinity", "-infinity"]),
    "deleted": st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f+00").zfill(29)),
}
POSITIONS = st.sampled_from(list(KEYS)).flatmap(
    lambda sort: st.tuples(st.just(sort), KEYS[sort], st.integers(0, 2**63 - 1))
)  # fmt: skip


def packed(*parts: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


@settings(max_examples=60)
@given(POSITIONS)
def test_a_written_cursor_can_be_read_and_needs_no_url_encoding(position):
    sort, key, task_id = position
    text = cursors.write(Position(key, task_id), LIST)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert text.isascii()
    assert cursors.read(text, LIST, sort) == Position(key, task_id)


@settings(max_examples=40)
@given(
    st.text(max_size=80)
    | st.binary(max_size=80).map(lambda data: base64.urlsafe_b64encode(data).decode())
    | st.recursive(st.none() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(), st.lists).map(
        lambda value: packed(LIST, value, 1)
    )
    | st.lists(st.just(LIST) | st.text(max_size=3) | st.integers(0, 9), max_size=5).map(lambda parts: packed(*parts)),
    st.sampled_from(list(KEYS)),
)
def test_every_text_is_a_position_or_refused(text, sort):
    try:
        position = cursors.read(text, LIST, sort)
    except InvalidInputError as error:
        assert [fault.field for fault in error.errors] == ["cursor"]  # noqa: PT017 - both outcomes are valid
    else:
        assert cursors.KEYS[sort].fullmatch(position.key)
        assert 0 <= position.id < 2**63


@settings(max_examples=40)
@given(POSITIONS, st.data())
def test_a_changed_cursor_is_another_position_or_refused_but_never_another_list(position, data):
    sort, key, task_id = position
    text = cursors.write(Position(key, task_id), LIST)
    place = data.draw(st.integers(0, len(text) - 1))
    for changed in (text[:place], text[:place] + data.draw(st.sampled_from("Aaz09-_=+/ ")) + text[place + 1 :]):
        try:
            read = cursors.read(changed, LIST, sort)
        except InvalidInputError:
            continue
        assert isinstance(read, Position)


def test_a_list_refuses_the_cursor_of_another_list():
    other = cursors.fingerprint({"sort": "updated"})
    text = cursors.write(Position("5", 5), LIST)
    with pytest.raises(InvalidInputError, match="another list"):
        cursors.read(text, other, "created")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": None}, {"a": False}),
        ({"a": "1"}, {"a": 1}),
        ({"tags": ["ab", "c"]}, {"tags": ["a", "bc"]}),
        ({"tags": ["a"]}, {"tags": ["A"]}),
        ({"text": ""}, {"text": None}),
    ],
)
def test_lists_that_differ_in_anything_have_different_fingerprints(one, other):
    assert cursors.fingerprint(one) != cursors.fingerprint(other)
    assert cursors.fingerprint(one) == cursors.fingerprint(dict(one))


@pytest.mark.parametrize(
    "text",
    [
        packed(LIST, "5"), packed(LIST, "5", 5, 5), packed("x", "5", 5), packed(LIST, 5, 5), packed(LIST, "5", "5"),
        packed(LIST, "5", None), packed(LIST, "5", 2**63), packed(LIST, "5", -1), packed(), "", "=", "w", "\0", "😀",
        "k" * 10_000, packed(LIST, "5", 5) + "AAAA",
        base64.urlsafe_b64encode(b"\x91" * 10_000).decode(), base64.urlsafe_b64encode(b"\xdd\xff\xff\xff\xff").decode(),
        base64.urlsafe_b64encode(b"\xc6\xff\xff\xff\xff").decode(),
    ],
)  # fmt: skip
def test_the_error_for_a_foreign_cursor_says_where_to_get_one(text):
    with pytest.raises(InvalidInputError, match="Link header"):
        cursors.read(text, LIST, "created")
