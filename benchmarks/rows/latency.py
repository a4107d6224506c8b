"""The latency of a call, with one call at a time."""

from __future__ import annotations

import secrets
import time
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
    from collections.abc import Generator

    from benchmarks.bench import Bench

_MILLIS: Final = 1_000


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


ROWS: Final = (
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
