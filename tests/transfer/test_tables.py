"""Writing and reading CSV, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.transfer.formats import table

TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.text("'=+-@\t\r\n\",; a", max_size=8)

TRIMMED = TEXT.map(str.strip)  # as all texts of a task are


@settings(max_examples=150)
@given(TEXT)
def test_a_defused_cell_is_restored_exactly_and_is_not_a_formula(text):
    cell = table.defuse(text)
    assert table.arm(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@settings(max_examples=120)
@given(st.lists(st.tuples(TRIMMED.filter(bool), TRIMMED), max_size=5))
def test_every_text_is_read_as_it_was_written(cells):
    written = table.rows([("title", "description"), *((table.defuse(one), table.defuse(two)) for one, two in cells)])
    read = [line.value for line in table.read(written)]
    assert read == [{"title": one} | ({"description": two} if two else {}) for one, two in cells]


@pytest.mark.parametrize(("text", "cell"), [("=1", "'=1"), ("'=1", "''=1"), ("'a", "'a"), ("''", "''"), ("", "")])
def test_an_apostrophe_is_added_only_before_a_possible_formula(text, cell):
    assert table.defuse(text) == cell
