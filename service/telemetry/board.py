"""Where the workers pin up their figures: memory that all of them share, so that any one can tell of all.

The supervisor makes it before it forks, and it goes away with the last process: no file is left, none is needed.
"""

from __future__ import annotations

import logging
import mmap
import struct
from typing import NamedTuple
from zlib import crc32

import msgspec

from service.telemetry.counting import Figures, total

logger = logging.getLogger("doable.metrics")

HALF = 256 * 1024  # bytes; 40 routes with 8 methods and 5 statuses each take 60 KiB. Untouched memory costs nothing
HEAD = struct.Struct("<II")  # length and checksum
REFUSED = struct.Struct("<I")  # how often somebody wrote more than there is room for
REFUSED_AT = 4  # bytes from the slot's start, whose first one says which half is to be read
SLOT = 8 + 2 * HALF
ATTEMPTS = 10
REMEMBERED = 64  # workers that have ended, by number: a reader is never further behind than that


class Seat(NamedTuple):
    """A worker's place on the board, and its number, which no other worker ever has."""

    board: Board
    slot: int
    number: int

    def publish(self, figures: Figures, gauges: dict[str, float]) -> None:
        """Let everybody see `figures`, with `gauges` as they are now."""
        figures.number = self.number
        figures.measure(gauges)
        self.board.write(self.slot, msgspec.msgpack.encode(figures))


class Board:
    """A slot for each worker, and one for the sum of those that have ended, so that no count ever goes back."""

    def __init__(self, workers: int) -> None:
        """Make room for so many workers at a time."""
        self._memory = mmap.mmap(-1, SLOT * (workers + 1))
        self._free = list(range(workers, 0, -1))  # 0 is for those that have ended
        self._number = 0
        self._warned = False

    def seat(self) -> Seat:
        """A place for a new worker. The supervisor asks, before it forks."""
        self._number += 1
        return Seat(self, self._free.pop(), self._number)

    def vacate(self, seat: Seat) -> None:
        """Keep what the worker on `seat` had counted, and free its place. The supervisor says so, once it has ended."""
        before = self._read(0) or Figures()
        if last := self._read(seat.slot):
            whole = total([before, last])
            whole.ended = [*before.ended, seat.number][-REMEMBERED:]
            self.write(0, msgspec.msgpack.encode(whole))
        self.write(seat.slot, b"")
        self._free.append(seat.slot)

    def read(self) -> tuple[list[Figures], Figures]:
        """The figures of each worker that serves, and the sum of those that have ended."""
        slots = range(1, len(self._memory) // SLOT)
        serving = [found for slot in slots if (found := self._read(slot))]
        # Read last: whoever has ended since its slot was read is in here, and must not be counted twice.
        ended = self._read(0) or Figures()
        starts = range(0, len(self._memory), SLOT)
        ended.unpublished = sum(REFUSED.unpack_from(self._memory, start + REFUSED_AT)[0] for start in starts)
        return [one for one in serving if one.number not in ended.ended], ended

    def write(self, slot: int, packed: bytes) -> None:
        """Write into the half that nobody reads, then make it the one to read; a writer may die in between.

        More than the slot can hold is not written, but counted: the figures before it stay, and serving goes on.
        """
        start = slot * SLOT
        if len(packed) > HALF - HEAD.size:
            (refused,) = REFUSED.unpack_from(self._memory, start + REFUSED_AT)
            REFUSED.pack_into(self._memory, start + REFUSED_AT, refused + 1)
            if not self._warned:
                self._warned = True
                logger.warning("figures do not fit, the last ones stay", extra={"fields": {"bytes": len(packed)}})
            return
        half = 1 - self._memory[start]
        offset = start + 8 + half * HALF
        self._memory[offset : offset + HEAD.size + len(packed)] = HEAD.pack(len(packed), crc32(packed)) + packed
        self._memory[start] = half

    def _read(self, slot: int) -> Figures | None:
        start = slot * SLOT
        for _ in range(ATTEMPTS):
            offset = start + 8 + self._memory[start] * HALF
            length, checksum = HEAD.unpack_from(self._memory, offset)
            packed = self._memory[offset + HEAD.size : offset + HEAD.size + min(length, HALF)]
            if crc32(packed) == checksum:  # else it was written anew while we read
                return msgspec.msgpack.decode(packed, type=Figures) if packed else None
        return None
