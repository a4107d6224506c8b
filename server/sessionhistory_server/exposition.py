"""What Prometheus sees of what is counted."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from sessionhistory_server.metrics import BUCKETS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from sessionhistory_server.metrics import Calls, Metrics

_LIMITS: Final = (*map(str, BUCKETS_SECONDS), "+Inf")

# psycopg_pool's name for it, ours, and what it is.
_POOL_GAUGES: Final = (
    ("pool_size", "sessionhistory_pool_connections", "Connections in the pool."),
    ("pool_available", "sessionhistory_pool_available", "Connections that wait for work."),
    ("requests_waiting", "sessionhistory_pool_waiting", "Calls that wait for a connection."),
)


def handler(metrics: Metrics) -> type[MetricsHandler]:
    """Return what answers HTTP requests for the metrics."""
    registry = CollectorRegistry()
    registry.register(_Exposition(metrics))
    return MetricsHandler.factory(registry)


class _Exposition(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. A series begins with the first call that counts for it."""
        totals = self._metrics.totals()
        for key, name, documentation in _POOL_GAUGES:
            yield GaugeMetricFamily(name, documentation, value=totals.pool[key])
        yield GaugeMetricFamily(
            "sessionhistory_open_streams", "Streams whose message is coming in.", value=totals.open_streams
        )
        yield CounterMetricFamily(
            "sessionhistory_appended_messages",
            "Messages of successful appends, retries included.",
            value=totals.appended_messages,
        )
        windows = CounterMetricFamily(
            "sessionhistory_windows", "Context windows returned, by what cut them.", labels=("cut",)
        )
        for cut, count in totals.windows.items():
            windows.add_metric((cut,), count)
        yield windows
        yield from _calls(totals.calls)


def _calls(methods: Mapping[str, Calls]) -> Iterator[Metric]:
    calls = CounterMetricFamily("sessionhistory_rpcs", "Finished calls.", labels=("method", "code"))
    seconds = HistogramMetricFamily("sessionhistory_rpc_seconds", "How long calls took.", labels=("method",))
    for method, finished in methods.items():
        for code, count in finished.codes.items():
            calls.add_metric((method, code), count)
        buckets = list(zip(_LIMITS, accumulate(finished.buckets), strict=True))
        seconds.add_metric((method,), buckets, finished.seconds)
    yield calls
    yield seconds
