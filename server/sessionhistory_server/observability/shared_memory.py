"""Numbers that several processes share."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES_PER_NUMBER: Final = 8


class SharedNumbers:
    """Numbers in memory that a process shares with the workers that it forks. Each worker has a block.

    Each worker writes only to its own block, and reads all blocks. A block keeps its numbers when its worker
    is killed.

    Args:
        workers: The number of blocks.
        size: The number of numbers in each block; all of them begin as 0.
    """

    def __init__(self, workers: int, size: int) -> None:
        self._workers = workers
        self._size = size
        self._numbers = memoryview(mmap.mmap(-1, workers * size * _BYTES_PER_NUMBER)).cast("d")

    def __len__(self) -> int:
        return self._workers

    def __getitem__(self, worker: int) -> memoryview[float]:
        return self._numbers[worker * self._size : (worker + 1) * self._size]

    def totals(self) -> list[float]:
        """Return the sum over all workers, for each number of a block."""
        return [sum(self._numbers[index :: self._size]) for index in range(self._size)]
