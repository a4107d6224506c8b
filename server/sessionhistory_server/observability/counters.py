"""Count events of the service. ``prometheus`` formats the numbers, and ``metrics_server`` serves them.

The counters of prometheus_client would take eight times as long for a call, and would count only one process
(see docs/adr/0012-worker-processes.md).
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sessionhistory_server.observability.shared_memory import SharedNumbers

BUCKETS_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
POOL_GAUGES: Final = ("pool_size", "pool_available", "requests_waiting")
"""The names of the pool's numbers in psycopg_pool."""

REFUSALS: Final = ("25006", "42501", "53100", "53200", "58030", "other")
"""The SQLSTATEs of refused writes that have their own counters; all others count as ``other``."""

CALL_REFUSALS: Final = ("RATE_LIMITED", "SERVER_OVERLOADED", "STREAM_FULL")
"""The reasons of calls that were refused before they were executed."""

_CUTS: Final = ("NONE", "MAX_MESSAGES", "TOKEN_BUDGET", "RESPONSE_SIZE", "MAX_TURNS")
CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The names of gRPC's status codes, repeated because only rpc may import gRPC. A test compares them."""

# The index of each number in a worker's block: its gauges, its counters, then a row for each method.
_TASKS: Final = len(POOL_GAUGES)
_OPEN_STREAMS: Final = _TASKS + 1
_WAITING_CALLS: Final = _OPEN_STREAMS + 1
_APPENDED: Final = _WAITING_CALLS + 1
_ENDED_CONNECTIONS: Final = _APPENDED + 1
_WINDOWS: Final = {cut: _ENDED_CONNECTIONS + 1 + index for index, cut in enumerate(_CUTS)}
_REFUSED: Final = _ENDED_CONNECTIONS + 1 + len(_CUTS)
_REFUSED_CALLS: Final = _REFUSED + len(REFUSALS)
_ROWS: Final = _REFUSED_CALLS + len(CALL_REFUSALS)
_IN_ROW: Final = {code: index for index, code in enumerate(CODES)}
_SECONDS: Final = len(CODES)
_BUCKETS: Final = _SECONDS + 1
_ROW_SIZE: Final = _BUCKETS + len(BUCKETS_SECONDS) + 1


def numbers_per_worker(methods: Sequence[str]) -> int:
    """Return the number of numbers that a worker needs to count the calls of these methods."""
    return _ROWS + len(methods) * _ROW_SIZE


def clear_gauges(numbers: memoryview[float]) -> None:
    """Set the gauges of a worker that has ended to 0; its counters stay."""
    for index in range(_APPENDED):
        numbers[index] = 0


class FinishedCalls(NamedTuple):
    """The finished calls of one method."""

    codes: Mapping[str, float]
    """The number of calls that ended with each code."""
    seconds: float
    """The total duration of all calls."""
    buckets: Sequence[float]
    """The number of calls in each bucket alone, of ``BUCKETS_SECONDS`` and then of longer calls."""


class MetricTotals(NamedTuple):
    """The sums over all workers, without the SQLSTATEs, cuts and methods that were never counted."""

    pool: Mapping[str, float]
    tasks: float
    open_streams: float
    waiting_calls: float
    appended_messages: float
    refused_writes: Mapping[str, float]
    refused_calls: Mapping[str, float]
    ended_connections: float
    windows: Mapping[str, float]
    calls: Mapping[str, FinishedCalls]


class Metrics:
    """The metrics of one worker, and the sums over all workers.

    Args:
        methods: The names of the methods whose calls are counted.
        shared: The shared numbers of all workers, ``numbers_per_worker(methods)`` for each.
        worker: The index of this worker.
        pool_stats: Returns the numbers of the pool of connections, as psycopg_pool names them.
    """

    def __init__(
        self,
        methods: Sequence[str],
        shared: SharedNumbers,
        worker: int,
        pool_stats: Callable[[], Mapping[str, int]],
    ) -> None:
        self._rows = {name: _ROWS + index * _ROW_SIZE for index, name in enumerate(methods)}
        self._shared = shared
        self._numbers = shared[worker]
        self._pool_stats = pool_stats

    def calls_of(self, method: str) -> Callable[[str, float], None]:
        """Return a function that counts a finished call of a method: its code, and its length in seconds."""
        numbers, row = self._numbers, self._rows[method]

        def count(code: str, seconds: float) -> None:
            numbers[row + _IN_ROW[code]] += 1
            numbers[row + _SECONDS] += seconds
            numbers[row + _BUCKETS + bisect_left(BUCKETS_SECONDS, seconds)] += 1

        return count

    @contextmanager
    def open_stream(self) -> Iterator[None]:
        """Count a stream as open while the block runs."""
        self._numbers[_OPEN_STREAMS] += 1
        try:
            yield
        finally:
            self._numbers[_OPEN_STREAMS] -= 1

    @contextmanager
    def waiting_call(self) -> Iterator[None]:
        """Count a call as waiting for its turn while the block runs."""
        self._numbers[_WAITING_CALLS] += 1
        try:
            yield
        finally:
            self._numbers[_WAITING_CALLS] -= 1

    def count_refused_call(self, reason: str) -> None:
        """Count a call that was refused before it was executed."""
        self._numbers[_REFUSED_CALLS + CALL_REFUSALS.index(reason)] += 1

    def count_appended(self, messages: int) -> None:
        """Count the messages of a successful append."""
        self._numbers[_APPENDED] += messages

    def count_ended_connection(self) -> None:
        """Count a connection that the server ended."""
        self._numbers[_ENDED_CONNECTIONS] += 1

    def count_window(self, cut: str) -> None:
        """Count a window that was returned."""
        self._numbers[_WINDOWS[cut]] += 1

    def count_refused_write(self, sqlstate: str) -> None:
        """Count a write that the database refused."""
        index = REFUSALS.index(sqlstate if sqlstate in REFUSALS else "other")
        self._numbers[_REFUSED + index] += 1

    def update_tasks(self, count: int) -> None:
        """Publish to the other workers the number of tasks on the event loop of this worker."""
        self._numbers[_TASKS] = count

    def update_pool(self) -> None:
        """Publish to the other workers the current numbers of this worker's pool."""
        stats = self._pool_stats()
        for index, key in enumerate(POOL_GAUGES):
            self._numbers[index] = stats.get(key, 0)

    def totals(self) -> MetricTotals:
        """Return the sums over all workers."""
        self.update_pool()
        numbers = self._shared.totals()
        rows = {name: numbers[row : row + _ROW_SIZE] for name, row in self._rows.items()}
        return MetricTotals(
            pool=dict(zip(POOL_GAUGES, numbers, strict=False)),
            tasks=numbers[_TASKS],
            open_streams=numbers[_OPEN_STREAMS],
            waiting_calls=numbers[_WAITING_CALLS],
            appended_messages=numbers[_APPENDED],
            refused_writes={
                sqlstate: count
                for sqlstate, count in zip(REFUSALS, numbers[_REFUSED:], strict=False)
                if count
            },
            refused_calls=dict(zip(CALL_REFUSALS, numbers[_REFUSED_CALLS:], strict=False)),
            ended_connections=numbers[_ENDED_CONNECTIONS],
            windows={cut: numbers[index] for cut, index in _WINDOWS.items() if numbers[index]},
            calls={name: _finished_calls(row) for name, row in rows.items() if any(row)},
        )


def _finished_calls(row: Sequence[float]) -> FinishedCalls:
    codes = {code: count for code, count in zip(CODES, row, strict=False) if count}
    return FinishedCalls(codes, row[_SECONDS], row[_BUCKETS:])
