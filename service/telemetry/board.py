"""Share the metrics of all workers in memory, so that any worker can report the metrics of all.

The supervisor creates the memory before it forks. The system frees it with the last process, and no file is involved.
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

HALF = 256 * 1024  # bytes; 40 routes with 8 methods and 5 statuses each need 60 KiB. Unused memory costs nothing
HEAD = struct.Struct("<II")  # length and checksum
REFUSED = struct.Struct("<I")  # the number of writes that were too large
REFUSED_AT = 4  # offset of this number in a slot, in bytes; the first byte of a slot is the half to read
SLOT = 8 + 2 * HALF
ATTEMPTS = 10
REMEMBERED = 64  # numbers of ended workers that are kept; during one read, fewer workers end than that


class Seat(NamedTuple):
    """A worker's slot in the shared memory, and its number, which no other worker ever has."""

    board: Board
    slot: int
    number: int

    def publish(self, figures: Figures, gauges: dict[str, float]) -> None:
        """Write `figures` and the current `gauges` into the slot."""
        figures.number = self.number
        figures.measure(gauges)
        self.board.write(self.slot, msgspec.msgpack.encode(figures))


class Board:
    """The shared memory: a slot for each worker, and one for the sum of ended workers, so that no counter decreases."""

    def __init__(self, workers: int) -> None:
        """Create slots for `workers` running workers."""
        self._memory = mmap.mmap(-1, SLOT * (workers + 1))
        self._free = list(range(workers, 0, -1))  # slot 0 is for ended workers
        self._number = 0
        self._warned = False

    def seat(self) -> Seat:
        """Return a slot for a new worker. The supervisor calls this before it forks."""
        self._number += 1
        return Seat(self, self._free.pop(), self._number)

    def vacate(self, seat: Seat) -> None:
        """Add the counts of an ended worker to the sum, and free its slot. The supervisor calls this."""
        before = self._read(0) or Figures()
        if last := self._read(seat.slot):
            whole = total([before, last])
            whole.ended = [*before.ended, seat.number][-REMEMBERED:]
            self.write(0, msgspec.msgpack.encode(whole))
        self.write(seat.slot, b"")
        self._free.append(seat.slot)

    def read(self) -> tuple[list[Figures], Figures]:
        """Return the metrics of each running worker, and the sum of the ended workers."""
        slots = range(1, len(self._memory) // SLOT)
        serving = [found for slot in slots if (found := self._read(slot))]
        # Read this slot last. It contains the workers that have ended since their slots were read, and those must not
        # count twice.
        ended = self._read(0) or Figures()
        starts = range(0, len(self._memory), SLOT)
        ended.unpublished = sum(REFUSED.unpack_from(self._memory, start + REFUSED_AT)[0] for start in starts)
        return [one for one in serving if one.number not in ended.ended], ended

    def write(self, slot: int, packed: bytes) -> None:
        """Write into the half that is not being read, then switch the halves. A writer may die in between.

        If `packed` is too large, count that, and keep the previous metrics.
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
            if crc32(packed) == checksum:  # otherwise the worker wrote during the read
                return msgspec.msgpack.decode(packed, type=Figures) if packed else None
        return None
