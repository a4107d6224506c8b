"""What Prometheus sees.

Numbers of our own and not prometheus_client's, which cost a call eight times as much, and are one process's
(see docs/adr/0012-worker-processes.md).
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from itertools import accumulate
from threading import Thread
from typing import TYPE_CHECKING, Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from sessionhistory_server.slots import Slots

_BUCKETS_SECONDS: Final = (
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
_LIMITS: Final = (*map(str, _BUCKETS_SECONDS), "+Inf")

# psycopg_pool's name for it, ours, and what it is.
_POOL_GAUGES: Final = (
    ("pool_size", "sessionhistory_pool_connections", "Connections in the pool."),
    ("pool_available", "sessionhistory_pool_available", "Connections that wait for work."),
    ("requests_waiting", "sessionhistory_pool_waiting", "Calls that wait for a connection."),
)

_CUTS: Final = ("NONE", "MAX_MESSAGES", "TOKEN_BUDGET", "RESPONSE_SIZE", "MAX_TURNS")
_CODES: Final = tuple(code.name for code in StatusCode)

# Where in a slot each number is: the gauges of the worker, its counters, then a row for each method.
_OPEN_STREAMS: Final = len(_POOL_GAUGES)
_APPENDED: Final = _OPEN_STREAMS + 1
_WINDOWS: Final = {cut: _APPENDED + 1 + place for place, cut in enumerate(_CUTS)}
_ROWS: Final = _APPENDED + 1 + len(_CUTS)
_IN_ROW: Final = {code: place for place, code in enumerate(_CODES)}
_SECONDS: Final = len(_CODES)
_BUCKETS: Final = _SECONDS + 1
_ROW_SIZE: Final = _BUCKETS + len(_LIMITS)


def slot_size(methods: Sequence[str]) -> int:
    """Return how many numbers it takes to count these methods."""
    return _ROWS + len(methods) * _ROW_SIZE


def forget_gauges(numbers: memoryview[float]) -> None:
    """Take the gauges of a worker that has ended out of its slot; what it has counted stays."""
    for place in range(_APPENDED):
        numbers[place] = 0


class Metrics(Collector):
    """Counts what one worker does, and shows the sums over all.

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
            numbers[row + _BUCKETS + bisect_left(_BUCKETS_SECONDS, seconds)] += 1

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
        for place, (key, _, _) in enumerate(_POOL_GAUGES):
            self._numbers[place] = stats.get(key, 0)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. A series begins with the first call that counts for it."""
        self.update_pool()
        numbers = self._slots.totals()
        for place, (_, name, documentation) in enumerate(_POOL_GAUGES):
            yield GaugeMetricFamily(name, documentation, value=numbers[place])
        yield GaugeMetricFamily(
            "sessionhistory_open_streams", "Streams whose message is coming in.", value=numbers[_OPEN_STREAMS]
        )
        yield CounterMetricFamily(
            "sessionhistory_appended_messages",
            "Messages of successful appends, retries included.",
            value=numbers[_APPENDED],
        )
        yield _windows(numbers)
        rows = {name: numbers[row : row + _ROW_SIZE] for name, row in self._rows.items()}
        yield from _calls({name: row for name, row in rows.items() if any(row)})

    def serve(self, listener: socket.socket) -> Callable[[], None]:
        """Serve the metrics over HTTP on a socket that listens, which is closed in the end.

        Returns:
            What stops it.
        """
        registry = CollectorRegistry()
        registry.register(self)
        server = ThreadingHTTPServer(
            listener.getsockname(), MetricsHandler.factory(registry), bind_and_activate=False
        )
        server.socket.close()
        server.socket = listener
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


def _windows(numbers: Sequence[float]) -> Metric:
    windows = CounterMetricFamily(
        "sessionhistory_windows", "Context windows returned, by what cut them.", labels=("cut",)
    )
    for cut, place in _WINDOWS.items():
        if numbers[place]:
            windows.add_metric((cut,), numbers[place])
    return windows


def _calls(rows: Mapping[str, Sequence[float]]) -> Iterator[Metric]:
    calls = CounterMetricFamily("sessionhistory_rpcs", "Finished calls.", labels=("method", "code"))
    seconds = HistogramMetricFamily("sessionhistory_rpc_seconds", "How long calls took.", labels=("method",))
    for method, row in rows.items():
        for code, count in zip(_CODES, row, strict=False):
            if count:
                calls.add_metric((method, code), count)
        buckets = list(zip(_LIMITS, accumulate(row[_BUCKETS:]), strict=True))
        seconds.add_metric((method,), buckets, row[_SECONDS])
    yield calls
    yield seconds
