"""What the service counts. ``exposition`` shows it to Prometheus.

Numbers of our own and not prometheus_client's, which cost a call eight times as much, and are one process's
(see docs/adr/0012-worker-processes.md).
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from functools import cached_property
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from grpc import StatusCode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from socketserver import BaseRequestHandler

    from sessionhistory_server.slots import Slots

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
"""In the terms of psycopg_pool."""

_CUTS: Final = ("NONE", "MAX_MESSAGES", "TOKEN_BUDGET", "RESPONSE_SIZE", "MAX_TURNS")
_CODES: Final = tuple(code.name for code in StatusCode)

# Where in a slot each number is: the gauges of the worker, its counters, then a row for each method.
_OPEN_STREAMS: Final = len(POOL_GAUGES)
_APPENDED: Final = _OPEN_STREAMS + 1
_WINDOWS: Final = {cut: _APPENDED + 1 + place for place, cut in enumerate(_CUTS)}
_ROWS: Final = _APPENDED + 1 + len(_CUTS)
_IN_ROW: Final = {code: place for place, code in enumerate(_CODES)}
_SECONDS: Final = len(_CODES)
_BUCKETS: Final = _SECONDS + 1
_ROW_SIZE: Final = _BUCKETS + len(BUCKETS_SECONDS) + 1


def slot_size(methods: Sequence[str]) -> int:
    """Return how many numbers it takes to count these methods."""
    return _ROWS + len(methods) * _ROW_SIZE


def forget_gauges(numbers: memoryview[float]) -> None:
    """Take the gauges of a worker that has ended out of its slot; what it has counted stays."""
    for place in range(_APPENDED):
        numbers[place] = 0


class Calls(NamedTuple):
    """The finished calls of one method.

    ``buckets``: how many took up to each of ``BUCKETS_SECONDS`` but more than the one before; then the rest.
    """

    codes: Mapping[str, float]
    seconds: float
    buckets: Sequence[float]


class Totals(NamedTuple):
    """What all workers have counted; of windows and calls only what there was."""

    pool: Mapping[str, float]
    open_streams: float
    appended_messages: float
    windows: Mapping[str, float]
    calls: Mapping[str, Calls]


class Metrics:
    """Counts what one worker does, and knows the sums over all.

    Args:
        methods: Those whose calls are counted, by the names that are shown.
        slots: Of all workers, each of ``slot_size(methods)``.
        slot: This worker's.
        pool_stats: Returns psycopg_pool's counters.
    """

    def __init__(
        self, methods: Sequence[str], slots: Slots, slot: int, pool_stats: Callable[[], Mapping[str, int]]
    ) -> None:
        self._rows = {name: _ROWS + place * _ROW_SIZE for place, name in enumerate(methods)}
        self._slots = slots
        self._numbers = slots[slot]
        self._pool_stats = pool_stats

    def calls_of(self, method: str) -> Callable[[str, float], None]:
        """Return what counts a finished call of a method, by its code and how long it took in seconds."""
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

    def count_appended(self, messages: int) -> None:
        """Count the messages of a successful append."""
        self._numbers[_APPENDED] += messages

    def count_window(self, cut: str) -> None:
        """Count a window that was returned."""
        self._numbers[_WINDOWS[cut]] += 1

    def update_pool(self) -> None:
        """Let the other workers see how this one's pool is now."""
        stats = self._pool_stats()
        for place, key in enumerate(POOL_GAUGES):
            self._numbers[place] = stats.get(key, 0)

    def totals(self) -> Totals:
        """Return the sums over all workers."""
        self.update_pool()
        numbers = self._slots.totals()
        rows = {name: numbers[row : row + _ROW_SIZE] for name, row in self._rows.items()}
        return Totals(
            pool=dict(zip(POOL_GAUGES, numbers, strict=False)),
            open_streams=numbers[_OPEN_STREAMS],
            appended_messages=numbers[_APPENDED],
            windows={cut: numbers[place] for cut, place in _WINDOWS.items() if numbers[place]},
            calls={name: _calls(row) for name, row in rows.items() if any(row)},
        )

    def serve(self, listener: socket.socket) -> Callable[[], None]:
        """Serve the metrics over HTTP on a socket that listens, which is closed in the end.

        Returns:
            What stops it.
        """

        def answer(*connection: object) -> BaseRequestHandler:
            return self._handler(*connection)

        server = ThreadingTCPServer(listener.getsockname(), answer, bind_and_activate=False)
        server.daemon_threads = True
        server.socket.close()
        server.socket = listener
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    @cached_property
    def _handler(self) -> Callable[..., BaseRequestHandler]:
        from sessionhistory_server.exposition import handler  # noqa: PLC0415 - a start is a twentieth shorter

        return handler(self)


def _calls(row: Sequence[float]) -> Calls:
    codes = {code: count for code, count in zip(_CODES, row, strict=False) if count}
    return Calls(codes, row[_SECONDS], row[_BUCKETS:])
