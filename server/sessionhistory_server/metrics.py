"""What Prometheus sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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

# psycopg_pool's name for it, ours, and what it is.
_POOL_GAUGES: Final = (
    ("pool_size", "sessionhistory_pool_connections", "Connections in the pool."),
    ("pool_available", "sessionhistory_pool_available", "Connections that wait for work."),
    ("requests_waiting", "sessionhistory_pool_waiting", "Calls that wait for a connection."),
)


class Metrics:
    """The service's metrics, in a registry of their own."""

    def __init__(self, pool_stats: Callable[[], Mapping[str, int]]) -> None:
        self.registry = _Registry()
        self.calls = Counter(
            "sessionhistory_rpcs", "Finished calls.", ("method", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "sessionhistory_rpc_seconds",
            "How long calls took.",
            ("method",),
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.appended_messages = Counter(
            "sessionhistory_appended_messages",
            "Messages of successful appends, retries included.",
            registry=self.registry,
        )
        self.windows = Counter(
            "sessionhistory_windows",
            "Context windows returned, by what cut them.",
            ("cut",),
            registry=self.registry,
        )
        self.registry.register(_PoolCollector(pool_stats))

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Serve the metrics over HTTP; return what stops it.

        Raises:
            OSError: the address cannot be bound.
        """
        server, thread = start_http_server(port, host, self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


class _Registry(CollectorRegistry):
    """Leaves out since when each series is counted: that doubles them, and nobody asks."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _PoolCollector(Collector):
    """Reads the pool's own counters when asked."""

    def __init__(self, pool_stats: Callable[[], Mapping[str, int]]) -> None:
        self._pool_stats = pool_stats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = self._pool_stats()
        for key, name, documentation in _POOL_GAUGES:
            yield GaugeMetricFamily(name, documentation, value=stats.get(key, 0))
