"""Count the calls of tenants and users in a second, over all workers of a server.

The counts are a count-min sketch in memory that the workers share. A worker writes only its own part, so it
needs no lock, and adds up the parts of all workers. So a call that another worker counts at the same moment
may be missing from the sum, and another key may add to it (see docs/adr/0064-overload.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sessionhistory_server.observability.shared_memory import SharedIntegers

_COLUMN_BITS: Final = 16
_COLUMNS: Final = 1 << _COLUMN_BITS
_ROWS: Final = 2

# A cell is a number of 64 bits: a second, then the count of that second.
_COUNT_BITS: Final = 24
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1

NUMBERS: Final = 2 * _COLUMNS * _ROWS
"""The numbers of a worker: two cells, for two seconds that follow each other, in each column of each row."""


class Rates:
    """The rates of calls, by keys such as tenants.

    Args:
        shared: ``NUMBERS`` numbers for each worker.
        worker: The index of this worker.
        clock: Returns the time in seconds, the same for all workers.
    """

    def __init__(
        self, shared: SharedIntegers, worker: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = shared[worker]
        self._parts = [shared[index] for index in range(len(shared))]
        self._clock = clock

    def has_room(self, key: Hashable, limit: int) -> bool:
        """Return whether one more call of the key stays within a limit of calls a second.

        Of the calls in the second before, as many count as that second's part that is less than a second ago.
        """
        now = self._clock()
        second = int(now)
        counts, counts_before = [], []
        for cell in _cells(key, second):
            count = count_before = 0
            for part in self._parts:
                number, number_before = part[cell], part[cell ^ 1]
                if number >> _COUNT_BITS == second:
                    count += number & _COUNT_MASK
                if number_before >> _COUNT_BITS == second - 1:
                    count_before += number_before & _COUNT_MASK
            counts.append(count)
            counts_before.append(count_before)
        # Another key in the same cell makes a count too large, so the smallest one is the best.
        return min(counts) + int(min(counts_before) * (second + 1 - now)) < limit

    def add(self, key: Hashable) -> None:
        """Count a call of the key."""
        second = int(self._clock())
        own = self._own
        for cell in _cells(key, second):
            number = own[cell]
            own[cell] = number + 1 if number >> _COUNT_BITS == second else (second << _COUNT_BITS) + 1


def _cells(key: Hashable, second: int) -> tuple[int, int]:
    """Return the cell of a key in each row. The workers are forked, so a text has the same hash in all."""
    bits, parity = hash(key), second & 1
    first, other = bits & (_COLUMNS - 1), bits >> _COLUMN_BITS & (_COLUMNS - 1)
    return 2 * first + parity, 2 * (_COLUMNS + other) + parity
