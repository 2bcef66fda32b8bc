"""Compare texts without regard to case and normalization.

Only Python computes the keys of texts. PostgreSQL compares the stored keys byte by byte, so that the result does not
depend on the database's locale, ICU version or `lower()`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

# Invisible characters, as a character class for regular expressions of Python and ECMAScript: White_Space, general
# category Cc (controls), Default_Ignorable_Code_Point (DerivedCoreProperties.txt: formats, fillers, joiners, variation
# selectors), and U+2800, the Braille pattern without dots.
INVISIBLE = (
    r"\s\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_VISIBLE = re.compile(rf"[^{INVISIBLE}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")

# A long run of combining marks, which are neither word characters nor white space. Ordinary text has a few in a row;
# Unicode Standard Annex #15 calls 30 ample.
_LONG_RUN = re.compile(r"[^\w\s\x00-\x7f]{30,}")


def is_blank(text: str) -> bool:
    """Return whether `text` has no visible character."""
    return _VISIBLE.search(text) is None


def fold(text: str) -> str:
    """Return the key of `text`. Two texts have the same key if they differ only in case and normalization.

    This is canonical caseless matching (Unicode Standard, section 3.13, D145). The key is in NFC, which is the shortest
    form. It is not compatibility matching: 'x²' and 'x2' differ. The key of a key is the key itself.
    """
    if text.isascii():
        return text.lower()
    if not unicodedata.is_normalized("NFC", text):  # in NFC, marks are already in order; it takes 1 µs
        text = _LONG_RUN.sub(_order, text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _order(run: re.Match[str]) -> str:
    """Return the combining marks in canonical order (Unicode Standard, section 3.11, D109).

    Normalization does the same, but its time grows with the square of the number of marks in a row.
    """
    marks = "".join(unicodedata.normalize("NFD", character) for character in run[0])
    groups = groupby(marks, key=lambda mark: unicodedata.combining(mark) > 0)
    return "".join("".join(sorted(group, key=unicodedata.combining)) for _, group in groups)


def fold_tags(tags: Iterable[str]) -> dict[str, str]:
    """Return the trimmed tags by their keys. Of tags with the same key, keep the position and spelling of the first."""
    folded: dict[str, str] = {}
    for tag in tags:
        trimmed = tag.strip()
        folded.setdefault(fold(trimmed), trimmed)
    return folded


def with_keys(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return `columns` of a task, by name, with the key columns of the texts among them."""
    keyed = dict(columns)
    if "title" in columns:
        keyed["title_key"] = fold(columns["title"])
    if "description" in columns:
        description = columns["description"]
        keyed["description_key"] = None if description is None else fold(description)
    if "tags" in columns:
        keyed["tag_keys"] = [fold(tag) for tag in columns["tags"]]
    return keyed
