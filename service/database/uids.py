"""Create globally unique ids for tasks: UUIDs of version 7 (RFC 9562 section 5.7)."""

from __future__ import annotations

import random
import time


def new_uid() -> str:
    """Return a new UUID in lower case. It has 48 bits of time, in milliseconds, and then 74 random bits."""
    digits = f"{random.getrandbits(76):019x}"
    clock = f"{time.time_ns() // 1_000_000:012x}"
    variant = "89ab"[int(digits[3], 16) & 3]  # two of the four bits are the variant
    return f"{clock[:8]}-{clock[8:]}-7{digits[:3]}-{variant}{digits[4:7]}-{digits[7:]}"
