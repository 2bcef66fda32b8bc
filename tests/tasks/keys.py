"""Order keys, computed in another way than the database functions do: by integer arithmetic."""

from __future__ import annotations

from service.web.positions import SMALLEST

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def key_of(integer: int) -> str:
    """Return the key of an integer."""
    length, rest = 1, -integer - 1 if integer < 0 else integer
    while rest >= 62**length:
        rest -= 62**length
        length += 1
    letter, digits = (chr(ord("Z") + 1 - length), DIGITS[::-1]) if integer < 0 else (chr(ord("`") + length), DIGITS)
    return letter + "".join(digits[rest // 62**power % 62] for power in reversed(range(length)))


def key_of_id(id_: int) -> str:
    """Return the key of a task or list without a position."""
    return f"U{0x1FFFFF - id_:06x}" if id_ < 0x100000 else f"K{2**64 - id_:016x}"


def parts(key: str) -> tuple[int, str]:
    """Return the integer and the fraction of a key."""
    length = ord(key[0]) - ord("`") if key[0] >= "a" else ord("[") - ord(key[0])
    digits = DIGITS if key[0] >= "a" else DIGITS[::-1]
    number = 0
    for digit in key[1 : length + 1]:
        number = number * 62 + digits.index(digit)
    number += sum(62**shorter for shorter in range(1, length))
    return number if key[0] >= "a" else -number - 1, key[length + 1 :]


def between(low: str | None, high: str | None) -> str:
    """Return the key between two keys, as the npm package does; None is an open end."""
    if low is None:
        if high is None:
            return key_of(0)
        integer, fraction = parts(high)
        if key_of(integer) == SMALLEST:
            return SMALLEST + middle("", fraction)
        return key_of(integer if fraction else integer - 1)
    integer, fraction = parts(low)
    following = key_of(integer + 1)
    if following[0] <= "z" and (high is None or following < high):
        return following
    return key_of(integer) + middle(fraction, parts(high)[1] if high and parts(high)[0] == integer else None)


def middle(low: str, high: str | None) -> str:
    """Return a short fraction between two fractions; without `high`, between `low` and 1."""
    found = ""
    while True:
        least = DIGITS.index(low[0]) if low else 0
        limit = DIGITS.index(high[0]) if high else 62
        if limit - least > 1:
            return found + DIGITS[(least + limit + 1) // 2]
        if high is not None and limit > least:
            if len(high) > 1:
                return found + high[0]
            high = None
        elif high is not None:
            high = high[1:]
        found += DIGITS[least]
        low = low[1:]
