"""Order keys: the texts that give tasks a manual order. The database functions `position_...` compute them."""

from __future__ import annotations

import re

LONGEST = 100  # characters; siblings with longer keys get new keys
# The smallest integer. It is not a key, because no key sorts before it.
SMALLEST = "A" + 26 * "0"
_DIGITS = re.compile(r"[A-Za-z][0-9A-Za-z]+")


def is_position(text: str) -> bool:
    """Return whether `text` is an order key of at most 100 characters.

    A key is an integer, and a fraction or nothing. The first letter gives the length of the integer: two characters for
    `a` and `Z`, three for `b` and `Y`, to 27 for `z` and `A`. A fraction does not end in 0. The smallest integer alone
    is not a key.

    The rules are those of `validateOrderKey` in the npm package `fractional-indexing` 4.0.0 (CC0 1.0,
    https://github.com/rocicorp/fractional-indexing). This function is stricter in two respects: after the first letter,
    the package accepts any characters, and it accepts keys of any length. From characters other than its 62 digits
    (0-9, A-Z, a-z) it computes wrong keys, for example `aundefined` after `a€`.
    """
    if len(text) > LONGEST or not _DIGITS.fullmatch(text):
        return False
    letter = text[0]
    integer = ord(letter) - ord("a") + 2 if letter >= "a" else ord("Z") - ord(letter) + 2
    return len(text) >= integer and text != SMALLEST and not (len(text) > integer and text.endswith("0"))
