"""Find the values of a large JSON text without decoding them.

msgspec and the standard library decode a text in one call: 32 MiB of `0,0,…` become 16 million objects. The scanner
finds the start and the end of each value, one window at a time. The caller then decodes, and so validates, each value
by itself (docs/decisions/0022).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.errors import MalformedInputError

WINDOW = 64 * 1024  # bytes: the maximum of one value, and of the white space that one step skips
MAXIMUM_DEPTH = 64
MAXIMUM_MARKS = 500  # strings and brackets in one value; a task with the maximum of tags has 60
TOO_LONG = "must be at most 64 KiB"
TOO_MANY_PARTS = f"holds more than {MAXIMUM_MARKS} strings, lists and objects"
SPACE = re.compile(rb"[ \t\n\r]*")
SCALAR = re.compile(rb'[^ \t\n\r,:"\[\]{}]*')
# A complete string, a bracket, or a quotation mark without its closing one in the window. Possessive repetition (`*+`)
# keeps the time linear in the length for every text.
MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
OPENING, CLOSING = frozenset(b"[{"), frozenset(b"]}")


class ValueTooLargeError(Exception):
    """A value exceeds WINDOW or MAXIMUM_MARKS. The message names the limit; errors put the value's name before it."""


class Scanner:
    """A position in a JSON text (RFC 8259). The time of each step is bounded; the generators yield between steps."""

    def __init__(self, text: bytes, position: int = 0) -> None:
        """Start at the byte offset `position`."""
        self._text = text
        self._position = position

    def peek(self) -> bytes:
        """Return the next byte, or an empty string at the end."""
        return self._text[self._position : self._position + 1]

    def take(self, expected: bytes) -> bytes:
        """Skip the next byte, which must be one of `expected`, and return it. Raises MalformedInputError."""
        found = self.peek()
        if not found or found not in expected:
            raise MalformedInputError
        self._position += 1
        return found

    def space(self) -> Iterator[None]:
        """Skip white space. Yields after each full window of it."""
        while (end := self._match(SPACE)) - self._position == WINDOW:
            self._position = end
            yield
        self._position = end

    def value(self) -> bytes:
        """Skip one value and return its text, which is not validated yet.

        Raises ValueTooLargeError for a value that exceeds a limit, and MalformedInputError where no value begins or the
        value does not end.
        """
        start = self._position
        self._position = self._end()
        return self._text[start : self._position]

    def items(self, brackets: bytes) -> Iterator[bool]:
        """Iterate over the object or array that begins at this position.

        Yields True at the start of each item, which the caller must skip, and False between two steps.
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
        assert found is not None  # noqa: S101 - the patterns also match an empty string
        return found.end()

    def _end(self) -> int:
        """Return the end of the value that begins at this position."""
        limit = min(self._position + WINDOW, len(self._text))
        end = self._closing(limit) if self.peek() in {b'"', b"[", b"{"} else self._separator(limit)
        if end is None:
            raise MalformedInputError if limit == len(self._text) else ValueTooLargeError(TOO_LONG)
        return end

    def _separator(self, limit: int) -> int | None:
        """Return the end of the number or word that begins at this position; None if it is not before `limit`."""
        end = self._match(SCALAR)
        if end == self._position:
            raise MalformedInputError
        return end if end < limit or limit == len(self._text) else None

    def _closing(self, limit: int) -> int | None:
        """Return the end of the string, object or array that begins here; None if it is not before `limit`."""
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
