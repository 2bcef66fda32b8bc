"""Entity tags: parsed as RFC 9110 defines them, and safe for every header of a client."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.conditions import entity_tags, etag_of, mark_of


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('"7"', [(False, "7")]),
        ('W/"7"', [(True, "7")]),
        ('"7","8"', [(False, "7"), (False, "8")]),
        (' "7" ,\t W/"8" , ', [(False, "7"), (True, "8")]),
        (',, "7" ,,', [(False, "7")]),
        ('"a,b"', [(False, "a,b")]),
        ('""', [(False, "")]),
        ('"\udcc3\udca4"', [(False, "\udcc3\udca4")]),
    ],
)
def test_a_list_of_etags_is_read(text, tags):
    assert entity_tags(text) == tags


@pytest.mark.parametrize(
    "text", ["", " ", ",", "7", '"7', '7"', 'w/"7"', 'W/ "7"', '"7" "8"', '"7"8', '"a b"', '*, "7"']
)
def test_an_invalid_list_of_etags_is_refused(text):
    with pytest.raises(ValueError, match="entity tag"):
        entity_tags(text)


@given(st.text(st.sampled_from('W/"7, *\t\udc80x')))
def test_every_header_is_a_list_of_etags_or_refused(text):
    with contextlib.suppress(ValueError):
        assert entity_tags(text)


@given(st.lists(st.tuples(st.booleans(), st.text("0123456789abc,-/W", max_size=5)), min_size=1))
def test_a_written_etag_can_be_read(tags):
    text = ", ".join(f'{"W/" if weak else ""}"{opaque}"' for weak, opaque in tags)
    assert entity_tags(text) == tags


@pytest.mark.parametrize("text", [" " * 8000 + "x", '"7",' * 2000 + "x", "," * 8000 + "x", '"' + "a" * 8000])
def test_the_longest_header_is_refused_at_once(text):
    began = time.thread_time()
    with pytest.raises(ValueError, match="entity tag"):
        entity_tags(text)
    assert time.thread_time() - began < 2


def test_another_query_or_another_state_has_another_etag():
    mark, other = mark_of(("x", "y")), mark_of(("xy", ""))
    assert etag_of("a-1", mark) == etag_of("a-1", mark_of(("x", "y")))
    assert len({etag_of("a-1", mark), etag_of("a-2", mark), etag_of("a-1", other)}) == 3
