"""Names for tasks that no other task has, anywhere: UUIDs of version 7 (RFC 9562 section 5.7)."""

from __future__ import annotations

import os
import time

RANDOM = 74  # bits


def new_uid() -> str:
    """Return a new UUID in lower case: 48 bits of the clock, in milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big") >> (80 - RANDOM)
    clock = (time.time_ns() // 1_000_000) << 80
    digits = f"{clock | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
