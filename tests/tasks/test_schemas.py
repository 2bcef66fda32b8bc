"""From bodies to columns, without a server."""

from __future__ import annotations

import json
from datetime import date, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidInputError, MalformedInputError
from service.tasks import fields, schemas
from service.tasks.models import Priority
from service.web import validation
from service.web.text import fold, fold_tags, is_blank

UTF8 = st.text(st.characters(codec="utf-8"), max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def body(**sent: object) -> bytes:
    return json.dumps(sent).encode()


def faulty(read, **sent: object) -> list[str]:
    with pytest.raises(InvalidInputError) as raised:
        read(body(**sent))
    return [fault.field for fault in raised.value.errors]


def test_only_sent_fields_become_columns():
    assert schemas.read_patch(b"{}").changes == {}
    assert schemas.read_draft(body(title=" A ")) == {"title": "A", "title_key": "a"}
    assert (
        schemas.read_patch(body(id=1, user_id="x", version=[], completed_at={}, created_at=None, updated_at=0)).changes
        == {}
    )


def test_each_field_is_converted_to_its_stored_value():
    sent = body(
        title=" A ", description=" B ", completed=True, priority="high", tags=[" a ", "A", "b"], due_date="2026-12-24"
    )  # fmt: skip
    columns = {
        "title": "A",
        "description": "B",
        "completed": True,
        "priority": 3,
        "tags": ["a", "b"],
        "due_date": date(2026, 12, 24),
        "title_key": "a",
        "description_key": "b",
        "tag_keys": ["a", "b"],
    }
    assert schemas.read_draft(sent) == columns
    assert schemas.read_patch(sent).changes == {**columns, "due_at": None}


def test_null_becomes_the_default():
    sent = body(description=None, priority=None, tags=None, due_date=None, due_at=None)
    keys = {"description_key": None, "tag_keys": []}
    cleared = {"description": None, "priority": 0, "tags": [], "due_date": None, "due_at": None, **keys}
    assert schemas.read_patch(sent).changes == cleared
    assert faulty(schemas.read_patch, title=None, completed=None) == ["title", "completed"]


def test_the_names_of_the_priorities_are_the_models():
    assert [Priority[name.upper()] for name in fields.PRIORITIES] == list(Priority)


@pytest.mark.parametrize(
    ("sent", "columns"),
    [
        ({"due_date": "2026-12-24"}, {"due_date": date(2026, 12, 24), "due_at": None}),
        ({"due_date": None}, {"due_date": None}),
        ({"due_at": None}, {"due_at": None}),
        ({"due_at": None, "due_date": "2026-12-24"}, {"due_date": date(2026, 12, 24), "due_at": None}),
    ],
)
def test_a_change_to_one_due_clears_the_other(sent, columns):
    assert schemas.read_patch(body(**sent)).changes == columns


def test_due_date_together_with_due_at_is_refused():
    assert faulty(schemas.read_patch, due_date="2026-12-24", due_at="2026-12-24T00:00:00Z") == ["due_at"]
    assert faulty(schemas.read_draft, title="A", due_date="2026-12-24", due_at="2026-12-24T00:00:00Z") == ["due_at"]


@settings(max_examples=80)
@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_a_time_with_any_offset_is_stored_in_utc_or_refused_beyond_the_calendar(moment):
    try:
        expected = moment.astimezone(timezone.utc)
    except OverflowError:
        assert faulty(schemas.read_patch, due_at=moment.isoformat()) == ["due_at"]
    else:
        stored = schemas.read_patch(body(due_at=moment.isoformat())).changes["due_at"]
        assert stored == expected
        assert stored.utcoffset() == timedelta(0)


@settings(max_examples=60)
@given(UTF8)
def test_a_title_is_stored_trimmed_and_otherwise_unchanged_or_refused(text):
    try:
        stored = schemas.read_patch(body(title=text)).changes["title"]
    except InvalidInputError:
        assert is_blank(text) or "\0" in text
    else:
        assert stored == text.strip()
        assert schemas.read_patch(body(title=stored)).changes["title"] == stored


@settings(max_examples=60)
@given(st.lists(UTF8, max_size=30))
def test_tags_keep_their_order_and_the_first_of_each(tags):
    folded = [*fold_tags(tags).values()]
    trimmed = [tag.strip() for tag in tags]
    assert len({fold(tag) for tag in folded}) == len(folded)
    assert {fold(tag) for tag in folded} == {fold(tag) for tag in trimmed}
    assert [trimmed.index(tag) for tag in folded] == sorted(trimmed.index(tag) for tag in folded)
    firsts = [tag for place, tag in enumerate(trimmed) if fold(tag) not in map(fold, trimmed[:place])]
    assert folded == firsts
    assert [*fold_tags(folded).values()] == folded


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from([*(field.name for field in msgspec.structs.fields(schemas.TaskDraft)), "x"]), VALUES
    )
)
def test_every_json_text_is_read_or_refused(sent):
    for read in (schemas.read_draft, schemas.read_patch, schemas.read_completion):
        try:
            found = read(json.dumps(sent).encode())
            columns = found.changes if isinstance(found, schemas.Patch) else found
        except (InvalidInputError, MalformedInputError) as error:
            assert error.detail.endswith((".", "?"))  # noqa: PT017 - both outcomes are valid
        else:
            assert not {"id", "user_id", "version"} & set(columns)


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda data: b'{"title": "' + data + b'"}'))
def test_every_byte_string_is_read_or_refused(data):
    try:
        assert schemas.read_draft(data)["title"].strip()
    except (InvalidInputError, MalformedInputError) as error:
        assert error.detail.endswith((".", "?"))  # noqa: PT017 - both outcomes are valid


@pytest.mark.parametrize(
    ("data", "patch"),
    [
        (b"", (None, None)), (b" \n", (None, None)), (b'{"completed": true}', (True, None)),
        (b'{"completed": false, "version": 5}', (False, None)),
        (b'{"if_version": 5}', (None, 5)), (b'{"completed": false, "if_version": 5}', (False, 5)),
    ],
)  # fmt: skip
def test_a_completion_is_empty_or_explicit(data, patch):
    assert schemas.read_completion(data) == patch


@pytest.mark.parametrize("kind", [schemas.TaskDraft, schemas.TaskPatch, schemas.TaskCompletion])
def test_every_field_has_a_text_for_its_rule(kind):
    for field in msgspec.structs.fields(kind):
        assert validation.rule(kind, field.encode_name).startswith(("must be ", "is not", "ignored")), field.encode_name
        assert validation.rule(kind, field.encode_name) != "is not valid"


def test_the_fields_of_a_response_are_those_of_the_contract_in_its_order():
    assert [field.encode_name for field in msgspec.structs.fields(schemas.Task)] == [
        "id", "uid", "user_id", "title", "description", "completed", "completed_at", "priority", "tags", "due_date",
        "due_at", "list_id", "parent_id", "position", "created_at", "updated_at", "version",
        "repeat", "series", "occurrence", "next_due", "series_start", "occurrence_number",
    ]  # fmt: skip
