"""Folding of equal texts to the same key, without a database."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest

from service.web.text import fold, fold_tags, with_keys

SAME = [
    ("Straße", "STRASSE"), ("Straße", "STRAẞE"), ("ﬁx", "fix"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("Äpfel", "äPFEL"),
    ("Äpfel", "A\u0308pfel"), ("Москва", "МОСКВА"), ("caf\u00e9", "CAFE\u0301"), ("ᾳ\u0313", "Α\u0313Ι"),
    ("Å", "\u212b"), ("한", "\u1112\u1161\u11ab"),
    ("Ꭰ", "ꭰ"), ("ŉ", "ʼN"), ("İ", "i\u0307"),
]  # fmt: skip
DIFFERENT = [("x²", "x2"), ("e", "é"), ("ı", "i"), ("\u200da", "a"), ("ｆ", "f"), ("", " "), ("а", "a")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_texts_that_differ_in_case_or_normalization_alone_have_one_key(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_texts_that_differ_otherwise_have_two_keys(one, other):
    assert fold(one) != fold(other)


def test_every_character_folds_once_and_for_all_and_to_at_most_three():
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in {"Cn", "Co", "Cs"}:  # not assigned, or without a meaning
            continue
        key = fold(character)
        assert fold(key) == key, ascii(character)
        assert fold(unicodedata.normalize("NFD", character)) == key, ascii(character)
        assert fold(character.casefold()) == key, ascii(character)
        assert len(key) <= 3, ascii(character)  # a cursor has room for the key of 200 of them


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0323\u0344\u0345", "\u0301\U0001f600\u0316"])
def test_many_marks_in_a_row_have_the_key_that_normalization_gives_them(marks):
    for letter in ("", "a", "\u1ea5", "\u0390"):
        text = letter + marks * 40 + "b"
        decomposed = unicodedata.normalize("NFD", text)
        assert fold(text) == unicodedata.normalize("NFC", decomposed.casefold())
        assert fold(decomposed) == fold(fold(text)) == fold(text)


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73"])
def test_the_time_to_fold_does_not_grow_with_the_square_of_the_marks(marks):
    began = time.thread_time()
    fold(marks * 20_000)
    assert time.thread_time() - began < 2, "4 s before the marks were sorted"


def test_the_first_of_the_same_tags_keeps_its_spelling():
    assert fold_tags([" Straße ", "b", "STRASSE", "strasse"]) == {"strasse": "Straße", "b": "b"}


def test_the_keys_belong_to_the_texts_that_are_there():
    assert with_keys({"completed": True}) == {"completed": True}
    assert with_keys({"title": "Ä", "description": None, "tags": ["ẞ"]}) == {
        "title": "Ä", "description": None, "tags": ["ẞ"], "title_key": "ä", "description_key": None, "tag_keys": ["ss"],
    }  # fmt: skip
