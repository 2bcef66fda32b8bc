"""Scan a large JSON text for its parts, without building any of them.

msgspec and the standard library decode a text as a whole: 32 MiB of `0,0,…` become 16 million objects, in one go. The
scanner finds where each value begins and ends, a window at a time; each value is then decoded, and so validated, by
itself (docs/decisions/0022).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.errors import MalformedInputError

WINDOW = 64 * 1024  # bytes: the longest value, and the most white space that is skipped in one step
MAXIMUM_DEPTH = 64
MAXIMUM_MARKS = 500  # strings and brackets of one value; a task with all its tags has 60
TOO_LONG = "must be at most 64 KiB"
TOO_MANY_PARTS = f"holds more than {MAXIMUM_MARKS} strings, lists and objects"
SPACE = re.compile(rb"[ \t\n\r]*")
SCALAR = re.compile(rb'[^ \t\n\r,:"\[\]{}]*')
# A whole string, a bracket, or a quotation mark whose string does not end inside the window. Possessive repetition
# (`*+`) keeps the time linear in the length, whatever the text.
MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
OPENING, CLOSING = frozenset(b"[{"), frozenset(b"]}")


class ValueTooLargeError(Exception):
    """A value passes a bound: WINDOW or MAXIMUM_MARKS. Its text says which, after the name of the value."""


class Scanner:
    """A position in a JSON text (RFC 8259). Each step is bounded; the generators yield between two steps."""

    def __init__(self, text: bytes, position: int = 0) -> None:
        """Start at `position`, a number of bytes."""
        self._text = text
        self._position = position

    def peek(self) -> bytes:
        """The next byte, or nothing at the end."""
        return self._text[self._position : self._position + 1]

    def take(self, expected: bytes) -> bytes:
        """Step over the next byte, which must be one of `expected`. Raises MalformedInputError."""
        found = self.peek()
        if not found or found not in expected:
            raise MalformedInputError
        self._position += 1
        return found

    def space(self) -> Iterator[None]:
        """Step over white space; yields after each full window of it."""
        while (end := self._match(SPACE)) - self._position == WINDOW:
            self._position = end
            yield
        self._position = end

    def value(self) -> bytes:
        """Step over one value and return its text, which is not validated yet.

        Raises ValueTooLargeError, and MalformedInputError where no value begins, or none ends.
        """
        start = self._position
        self._position = self._end()
        return self._text[start : self._position]

    def items(self, brackets: bytes) -> Iterator[bool]:
        """Step through the object or array that begins here.

        Yields True at the beginning of each item, which the caller steps over, and False between two steps.
        Raises MalformedInputError.
        """
        opening, closing = brackets[:1], brackets[1:]
        self.take(opening)
        yield from map(bool, self.space())
        if self.peek() == closing:
            self.take(closing)
            return
        while True:
            yield True
            yield from map(bool, self.space())
            if self.take(b"," + closing) == closing:
                return
            yield from map(bool, self.space())

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self._text, self._position, self._position + WINDOW)
        assert found is not None  # noqa: S101 - the patterns match nothing too
        return found.end()

    def _end(self) -> int:
        """Where the value that begins here ends."""
        limit = min(self._position + WINDOW, len(self._text))
        end = self._closing(limit) if self.peek() in {b'"', b"[", b"{"} else self._separator(limit)
        if end is None:
            raise MalformedInputError if limit == len(self._text) else ValueTooLargeError(TOO_LONG)
        return end

    def _separator(self, limit: int) -> int | None:
        """Where the number or word that begins here ends; None where that is not before `limit`."""
        end = self._match(SCALAR)
        if end == self._position:
            raise MalformedInputError
        return end if end < limit or limit == len(self._text) else None

    def _closing(self, limit: int) -> int | None:
        """Where the string, object or array that begins here ends; None where that is not before `limit`."""
        depth = 0
        for number, mark in enumerate(MARK.finditer(self._text, self._position, limit)):
            if number == MAXIMUM_MARKS:
                raise ValueTooLargeError(TOO_MANY_PARTS)
            kind = self._text[mark.start()]
            if kind in OPENING:
                depth += 1
            elif kind in CLOSING:
                depth -= 1
            elif mark.end() == mark.start() + 1:
                return None
            if depth == 0:
                return mark.end()
            if depth > MAXIMUM_DEPTH:
                raise MalformedInputError
        return None
