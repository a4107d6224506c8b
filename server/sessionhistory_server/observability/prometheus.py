"""Format the metrics for Prometheus."""

from __future__ import annotations

import gzip
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from sessionhistory_server.observability.counters import BUCKETS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from sessionhistory_server.observability.counters import FinishedCalls, Metrics

_LIMITS: Final = (*map(str, BUCKETS_SECONDS), "+Inf")

# The name of each number in psycopg_pool, its name in the metrics, and its description.
_POOL_GAUGES: Final = (
    ("pool_size", "sessionhistory_pool_connections", "Connections in the pool."),
    ("pool_available", "sessionhistory_pool_available", "Connections that wait for work."),
    ("requests_waiting", "sessionhistory_pool_waiting", "Calls that wait for a connection."),
)


def format_metrics(metrics: Metrics, *, accept: str, accept_encoding: str) -> tuple[dict[str, str], bytes]:
    """Return the metrics in a format that the client accepts, as the headers and the body of a response."""
    registry = CollectorRegistry()
    registry.register(_MetricsCollector(metrics))
    encode, content_type = choose_encoder(accept)
    headers, body = {"Content-Type": content_type}, encode(registry)
    if gzip_accepted(accept_encoding):
        return headers | {"Content-Encoding": "gzip"}, gzip.compress(body)
    return headers, body


class _MetricsCollector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. A series appears when it is counted for the first time."""
        totals = self._metrics.totals()
        for key, name, documentation in _POOL_GAUGES:
            yield GaugeMetricFamily(name, documentation, value=totals.pool[key])
        yield GaugeMetricFamily("sessionhistory_tasks", "Tasks of the event loops.", value=totals.tasks)
        yield GaugeMetricFamily(
            "sessionhistory_open_streams", "Streams whose message is coming in.", value=totals.open_streams
        )
        yield GaugeMetricFamily(
            "sessionhistory_waiting_calls", "Calls that wait for their turn.", value=totals.waiting_calls
        )
        yield CounterMetricFamily(
            "sessionhistory_appended_messages",
            "Messages of successful appends, retries included.",
            value=totals.appended_messages,
        )
        refused = CounterMetricFamily(
            "sessionhistory_refused_writes",
            "Writes that the database refused, by SQLSTATE.",
            labels=("sqlstate",),
        )
        for sqlstate, count in totals.refused_writes.items():
            refused.add_metric((sqlstate,), count)
        yield refused
        refused_calls = CounterMetricFamily(
            "sessionhistory_refused_calls",
            "Calls refused before they were executed, by reason.",
            labels=("reason",),
        )
        for reason, count in totals.refused_calls.items():
            refused_calls.add_metric((reason,), count)
        yield refused_calls
        yield CounterMetricFamily(
            "sessionhistory_ended_connections",
            "Connections ended because of unread answers or unfinished requests, or without calls.",
            value=totals.ended_connections,
        )
        windows = CounterMetricFamily(
            "sessionhistory_windows", "Context windows returned, by the limit that cut them.", labels=("cut",)
        )
        for cut, count in totals.windows.items():
            windows.add_metric((cut,), count)
        yield windows
        yield from _calls(totals.calls)


def _calls(methods: Mapping[str, FinishedCalls]) -> Iterator[Metric]:
    calls = CounterMetricFamily("sessionhistory_rpcs", "Finished calls.", labels=("method", "code"))
    seconds = HistogramMetricFamily("sessionhistory_rpc_seconds", "How long calls took.", labels=("method",))
    for method, finished in methods.items():
        for code, count in finished.codes.items():
            calls.add_metric((method, code), count)
        buckets = list(zip(_LIMITS, accumulate(finished.buckets), strict=True))
        seconds.add_metric((method,), buckets, finished.seconds)
    yield calls
    yield seconds
