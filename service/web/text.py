"""Comparing text: the one place that says when two texts are the same.

Python alone folds. PostgreSQL compares the folded keys that are stored beside the text, byte by byte, so that the
answer does not depend on the locale of the database, on its ICU version or on its `lower()`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

# Characters that show nothing, as a class of regular expressions for Python and ECMAScript: White_Space, general
# category Cc (controls), Default_Ignorable_Code_Point (DerivedCoreProperties.txt: formats, fillers, joiners,
# variation selectors), and U+2800, the Braille pattern without dots.
INVISIBLE = (
    r"\s\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_VISIBLE = re.compile(rf"[^{INVISIBLE}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")

# Combining marks are neither word characters nor white space. Ordinary text has a few in a row; Unicode Standard Annex
# #15 calls 30 ample.
_LONG_RUN = re.compile(r"[^\w\s\x00-\x7f]{30,}")


def is_blank(text: str) -> bool:
    """Whether `text` shows nothing: it has no character beyond white space and those that are never visible."""
    return _VISIBLE.search(text) is None


def fold(text: str) -> str:
    """The key of `text`: two texts are the same, ignoring case and normalization, if their keys are equal.

    This is canonical caseless matching (Unicode Standard, section 3.13, D145), with the result in NFC because that is
    the shortest form. It is not compatibility matching: 'x²' and 'x2' differ. Folding a key gives the key.
    """
    if text.isascii():
        return text.lower()
    if not unicodedata.is_normalized("NFC", text):  # which most texts are, and then in order; it takes 1 µs
        text = _LONG_RUN.sub(_order, text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _order(run: re.Match[str]) -> str:
    """Bring combining marks into canonical order (Unicode Standard, section 3.11, D109).

    Normalization does the same, but its time grows with the square of the number of marks in a row.
    """
    marks = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    groups = groupby(marks, key=lambda mark: unicodedata.combining(mark) > 0)
    return "".join("".join(sorted(group, key=unicodedata.combining)) for _, group in groups)


def fold_tags(tags: Iterable[str]) -> dict[str, str]:
    """The trimmed tags by their keys; of tags that are the same, the first one is kept, in its place and spelling."""
    folded: dict[str, str] = {}
    for tag in tags:
        trimmed = tag.strip()
        folded.setdefault(fold(trimmed), trimmed)
    return folded


def with_keys(columns: Mapping[str, Any]) -> dict[str, Any]:
    """`columns` of a task by name, and the key columns of those texts that are among them."""
    keyed = dict(columns)
    if "title" in columns:
        keyed["title_key"] = fold(columns["title"])
    if "description" in columns:
        description = columns["description"]
        keyed["description_key"] = None if description is None else fold(description)
    if "tags" in columns:
        keyed["tag_keys"] = [fold(tag) for tag in columns["tags"]]
    return keyed
