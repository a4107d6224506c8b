"""Numbers that several processes share."""

from __future__ import annotations

import mmap
from typing import Final, Generic, TypeVar

N = TypeVar("N", int, float)

_BYTES_PER_NUMBER: Final = 8


class _Shared(Generic[N]):
    """Numbers in memory that a process shares with the workers that it forks. Each worker has a block.

    Each worker writes only to its own block, and reads all blocks. A block keeps its numbers when its worker
    is killed.

    Args:
        numbers: The memory, which begins as zeros.
        size: The number of numbers in each block.
    """

    def __init__(self, numbers: memoryview[N], size: int) -> None:
        self._numbers: memoryview[N] = numbers
        self._size = size

    def __len__(self) -> int:
        return len(self._numbers) // self._size

    def __getitem__(self, worker: int) -> memoryview[N]:
        block: memoryview[N] = self._numbers[worker * self._size : (worker + 1) * self._size]
        return block


class SharedNumbers(_Shared[float]):
    """Shared floating-point numbers: for each worker a block of ``size``."""

    def __init__(self, workers: int, size: int) -> None:
        super().__init__(_zeros(workers * size).cast("d"), size)

    def totals(self) -> list[float]:
        """Return the sum over all workers, for each number of a block."""
        return [sum(self._numbers[index :: self._size]) for index in range(self._size)]


class SharedIntegers(_Shared[int]):
    """Shared integers of 64 bits without a sign: for each worker a block of ``size``."""

    def __init__(self, workers: int, size: int) -> None:
        super().__init__(_zeros(workers * size).cast("Q"), size)


def _zeros(count: int) -> memoryview[int]:
    return memoryview(mmap.mmap(-1, count * _BYTES_PER_NUMBER))
