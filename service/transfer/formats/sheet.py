"""The rows of a CSV file as spreadsheets and people write it, read a line at a time and in bounded memory.

RFC 4180 leaves much open, and spreadsheets differ: this module understands UTF-8 and UTF-16 with a byte order mark,
commas, semicolons and tabs, Excel's `sep=` line, every kind of line end, and blank rows. Whatever the body holds, the
work stops at the first bound that it passes.
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
MAXIMUM_CELLS = 256  # in a row, the empty ones included
MAXIMUM_BLANK = 10_000  # rows
DELIMITERS = ",;\t"
EMPTY = ' \t\r\n,;"'  # what a blank row may consist of, before its delimiter is known
ANNOUNCED = re.compile(r'"?sep=(.?)["\s,;]*', re.IGNORECASE | re.DOTALL)
NOT_UTF_8 = "The request body is not CSV in UTF-8; save the table as 'CSV UTF-8' and send it again."


class Sheet:
    """A CSV file. Iterate over it once: it gives the cells of each row, trimmed, and None for each blank row.

    Iterating raises MalformedInputError for bytes that are not text, InvalidInputError naming the line where it is not
    CSV or passes a bound.
    """

    def __init__(self, body: bytes) -> None:
        """Take the bytes of the file, which are not copied. Raises MalformedInputError for other encodings."""
        self._text = io.TextIOWrapper(io.BytesIO(body), _encoding(body), newline="")
        self._lines = 0  # that were read
        self._size = 0  # characters of the row in hand
        self._blank = 0
        self.number = 0  # of the first line of the row that was given last, counted from 1

    @property
    def place(self) -> str:
        """The name of the row that was given last."""
        return f"line {self.number}"

    def fault(self, message: str) -> InvalidInputError:
        """The error that says `message` of the row that was given last."""
        return InvalidInputError([FieldError(self.place, message)])

    def __iter__(self) -> Iterator[list[str] | None]:
        """Give the rows."""
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
        """The lines with their ends, while those of one row are at most MAXIMUM_ROW characters together."""
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
    """The encoding by the first bytes. Raises MalformedInputError for UTF-32, and UTF-16 without its mark."""
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and body[2:4] != b"\0\0":
        return "utf-16"
    if b"\0" in body[:4]:
        raise MalformedInputError(NOT_UTF_8)
    return "utf-8-sig"


def detect(header: str) -> str:
    """The delimiter of the line: the one that makes most cells of it that could be names of columns."""

    def cells(delimiter: str) -> int:
        return sum(bool(cell.strip()) for cell in next(csv.reader([header], delimiter=delimiter), []))

    return max(DELIMITERS, key=cells)
