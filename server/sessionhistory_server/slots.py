"""Numbers that processes share."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES: Final = 8


class Slots:
    """Numbers in memory that this process shares with those forked from it: a slot of them for each.

    Whoever owns a slot writes to it, all may read. What was written stays when the writer is killed.

    Args:
        slots: How many there are.
        size: How many numbers each has; all begin as 0.
    """

    def __init__(self, slots: int, size: int) -> None:
        self._slots = slots
        self._size = size
        self._numbers = memoryview(mmap.mmap(-1, slots * size * _BYTES)).cast("d")

    def __len__(self) -> int:
        return self._slots

    def __getitem__(self, slot: int) -> memoryview[float]:
        return self._numbers[slot * self._size : (slot + 1) * self._size]

    def totals(self) -> list[float]:
        """Return the sums over all slots, each of its numbers by itself."""
        return [sum(self._numbers[place :: self._size]) for place in range(self._size)]
