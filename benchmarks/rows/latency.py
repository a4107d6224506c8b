"""The latency of a call: at half of the maximum load, and with one call at a time."""

from __future__ import annotations

import secrets
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final, Self

import psycopg

from benchmarks.database.statements import MESSAGE_ID, appending, session_settings
from benchmarks.errors import InvalidError
from benchmarks.load import traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch
from benchmarks.servers.calls import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.bench import Bench
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.launch import Server

_MILLIS: Final = 1_000
_TOP_LOADS: Final = 3


def _p99(make: Callable[[Server], Traffic], bench: Bench) -> Generator[Round, None, str]:
    load = make(bench.service)
    with (
        launch.ceiling(bench.folder, load.calls) as ceiling,
        traffic.all_stored(bench.database_url, load) as loads,
    ):
        loads += [bench.closed_loop(bench.service, load) for _ in bench.rounds()[:_TOP_LOADS]]
        rate = median(top.per_second for top in loads) / 2
        for _ in bench.rounds():
            loads.append(bench.open_loop(bench.service, load, rate))
            ceilings = bench.open_loop(ceiling, load, rate)
            yield Round(_MILLIS * loads[-1].quantile(0.99), _MILLIS * ceilings.quantile(0.99))
    return f"at {rate:,.0f}/s"


def _alone(bench: Bench) -> Generator[Round, None, None]:
    load = traffic.append_to(bench.service, [traffic.make_session(bench.service, [traffic.MESSAGE_BYTES])])
    (call,) = load.calls
    with (
        launch.ceiling(bench.folder, [call]) as ceiling,
        _Postgres(
            bench.database_url, traffic.make_session(bench.service, [traffic.MESSAGE_BYTES])
        ) as postgres,
        traffic.all_stored(bench.database_url, load) as loads,
    ):
        for _ in bench.rounds():
            loads.append(bench.alone(bench.service, call))
            statement = _MILLIS * postgres.latency(bench.scale.round_seconds)
            empty = _MILLIS * bench.alone(ceiling, EMPTY).quantile(0.5)
            others = {"statement": statement, "empty RPC": empty}
            yield Round(_MILLIS * loads[-1].quantile(0.5), statement + empty, others)


class _Postgres:
    """The prepared statement of an append, which psycopg runs on a connection with the service's settings."""

    def __init__(self, url: str, session_id: str) -> None:
        self._statement = appending(session_id, traffic.text(traffic.MESSAGE_BYTES))
        self._connection = psycopg.connect(url, autocommit=True, options=session_settings(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def latency(self, seconds: float) -> float:
        """Append one message after the other for ``seconds``; return the median latency in seconds."""
        latencies, end = [], time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            self._append()
            latencies.append(time.perf_counter() - begin)
        return median(latencies)

    def _append(self) -> None:
        parameters = dict(self._statement.parameters)
        parameters["messages"] = parameters["messages"].replace(MESSAGE_ID, secrets.token_hex(16))
        cursor = self._connection.execute(self._statement.text, parameters, binary=True, prepare=True)
        if cursor.fetchone() is None:
            raise InvalidError("the statement alone stored nothing")


_p99_row = partial(Row, measured="service", against="ceiling", unit="ms", target=Target(3, at_most=True))

ROWS: Final = (
    _p99_row(
        name="append-p99",
        title="p99 of AppendMessage, at half of the top load",
        run=partial(_p99, traffic.appends),
    ),
    _p99_row(
        name="history-p99",
        title="p99 of GetHistory, at half of the top load",
        run=partial(_p99, traffic.windows),
    ),
    Row(
        name="append-alone",
        title="one AppendMessage at a time",
        measured="service",
        against="psycopg + empty RPC",
        unit="ms",
        run=_alone,
        target=Target(1.5, at_most=True),
    ),
)
