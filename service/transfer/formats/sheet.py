"""Read the rows of a CSV file one by one, in bounded memory.

RFC 4180 leaves details open, and spreadsheets differ. This module accepts UTF-8, UTF-16 with a byte order mark, commas,
semicolons and tabs, Excel's `sep=` line, all kinds of line ends, and blank rows. It stops at the first limit that a
file exceeds.
"""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from itertools import chain

from service.errors import FieldError, InvalidInputError, MalformedInputError

MAXIMUM_ROW = 64 * 1024  # characters
MAXIMUM_CELLS = 256  # in a row, with the empty ones
MAXIMUM_BLANK = 10_000  # rows
DELIMITERS = ",;\t"
EMPTY = ' \t\r\n,;"'  # the characters of a blank row, before the delimiter is known
ANNOUNCED = re.compile(r'"?sep=(.?)["\s,;]*', re.IGNORECASE | re.DOTALL)
NOT_UTF_8 = "The request body is not CSV in UTF-8; save the table as 'CSV UTF-8' and send it again."


class Sheet:
    """A CSV file. Iterate over it once: it yields the trimmed cells of each row, and None for each blank row.

    The iteration raises MalformedInputError for bytes that are not text. It raises InvalidInputError, which names the
    line, for text that is not CSV or exceeds a limit.
    """

    def __init__(self, body: bytes) -> None:
        """Open the bytes of a file without copying them. Raises MalformedInputError for an unknown encoding."""
        self._text = io.TextIOWrapper(io.BytesIO(body), _encoding(body), newline="")
        self._lines = 0  # read so far
        self._size = 0  # characters of the current row
        self._blank = 0  # blank rows so far
        self.number = 0  # of the first line of the current row, counted from 1

    @property
    def place(self) -> str:
        """The name of the current row in errors."""
        return f"line {self.number}"

    def fault(self, message: str) -> InvalidInputError:
        """Return an error with `message` for the current row."""
        return InvalidInputError([FieldError(self.place, message)])

    def __iter__(self) -> Iterator[list[str] | None]:
        """Yield the rows."""
        first, delimiter = "", None
        for line in self._physical():
            announced = ANNOUNCED.fullmatch(line)
            if announced and delimiter is None:
                delimiter = announced[1]
                if not delimiter or delimiter not in DELIMITERS:
                    raise self._at_line("must name a comma, a semicolon or a tab as the delimiter")
            elif line.strip(EMPTY):
                first = line
                break
            else:
                self._count_blank()
                yield None
            self._size = 0
        yield from self._rows(first, delimiter or detect(first))

    def _rows(self, first: str, delimiter: str) -> Iterator[list[str] | None]:
        self.number = max(self._lines, 1)
        reader = csv.reader(chain([first] if first else [], self._physical()), delimiter=delimiter, strict=True)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error:
                raise self.fault("is not CSV (RFC 4180); put text with quotes or line ends in quotes") from None
            if cells is None:
                return
            if len(cells) > MAXIMUM_CELLS:
                raise self.fault(f"has more than {MAXIMUM_CELLS:,} cells")
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield cells
            else:
                self._count_blank()
                yield None
            self._size = 0
            self.number = self._lines + 1

    def _physical(self) -> Iterator[str]:
        """Yield the lines with their line ends. Raises InvalidInputError for a row longer than MAXIMUM_ROW."""
        try:
            while line := self._text.readline(MAXIMUM_ROW + 1):
                self._lines += 1
                self._size += len(line)
                if self._size > MAXIMUM_ROW:
                    self.number = self.number or self._lines
                    raise self.fault(f"must be at most {MAXIMUM_ROW:,} characters; is a quotation mark missing?")
                yield line
        except UnicodeDecodeError:
            raise MalformedInputError(NOT_UTF_8) from None

    def _count_blank(self) -> None:
        self._blank += 1
        if self._blank > MAXIMUM_BLANK:
            raise self._at_line(f"has more than {MAXIMUM_BLANK:,} blank rows before it; delete them")

    def _at_line(self, message: str) -> InvalidInputError:
        self.number = self._lines
        return self.fault(message)


def _encoding(body: bytes) -> str:
    """Detect the encoding from the first bytes. Raises MalformedInputError for UTF-32 and UTF-16 without a mark."""
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and body[2:4] != b"\0\0":
        return "utf-16"
    if b"\0" in body[:4]:
        raise MalformedInputError(NOT_UTF_8)
    return "utf-8-sig"


def detect(header: str) -> str:
    """Detect the delimiter of the header line: the one that splits it into the most non-empty cells."""

    def cells(delimiter: str) -> int:
        return sum(bool(cell.strip()) for cell in next(csv.reader([header], delimiter=delimiter), []))

    return max(DELIMITERS, key=cells)
