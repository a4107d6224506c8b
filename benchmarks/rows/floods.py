"""The latency of a tenant's calls while another tenant floods the service."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.load import traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.bench import Bench
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.calls import Call
    from benchmarks.servers.launch import Server

_MILLIS: Final = 1_000
_PER_SECOND: Final = 100
"""The calls of the tenant, half appends and half windows: a small part of the maximum load."""
_SESSIONS: Final = 2
_LEAD_SECONDS: Final = 1.0
"""The time in which the flood begins before the calls are measured."""


def _p99(make: Callable[[Server], Traffic], in_flight: int, bench: Bench) -> Generator[Round, None, str]:
    keys = [launch.make_key(bench.database_url, tenant) for tenant in ("calm", "flood")]
    medians = []
    with launch.service(bench.folder, "--database-url", bench.database_url, key=keys[0]) as calm:
        flood = replace(calm, key=keys[1])
        calls = _mixed(calm)
        flooding = make(flood)
        bench.warm(flood)
        measure = partial(
            bench.h2load.for_seconds,
            calm.port,
            calls,
            bench.scale.round_seconds,
            per_second=_PER_SECOND,
            timed=True,
        )
        for _ in bench.rounds():
            alone = measure()
            seconds = _LEAD_SECONDS + bench.scale.round_seconds + _LEAD_SECONDS
            with bench.h2load.flooding(calm.port, flooding.calls, seconds, in_flight=in_flight):
                time.sleep(_LEAD_SECONDS)  # until all calls of the flood are in flight
                measured = measure()
            medians.append(measured.quantile(0.5) / alone.quantile(0.5))
            yield Round(_MILLIS * measured.quantile(0.99), _MILLIS * alone.quantile(0.99))
    return f"ratio of the medians {sorted(medians)[len(medians) // 2]:.2f}"


def _mixed(server: Server) -> list[Call]:
    """Return appends and windows."""
    appends = traffic.appends(server, (traffic.MESSAGE_BYTES,) * _SESSIONS)
    return [*appends.calls, *traffic.windows(server).calls[:_SESSIONS]]


_row = partial(Row, measured="with the flood", against="alone", unit="ms", target=Target(2, at_most=True))

ROWS: Final = (
    _row(
        name="flood-appends",
        title="p99 of a tenant's calls, another one has 256 appends in flight",
        run=partial(_p99, traffic.appends, 256),
    ),
    _row(
        name="flood-windows",
        title="p99 of a tenant's calls, another one has 256 windows in flight",
        run=partial(_p99, traffic.windows, 256),
    ),
)
