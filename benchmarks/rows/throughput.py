"""Throughput: calls a second, with 64 requests in flight over 8 sessions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.load import recordings, traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.bench import Bench
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.launch import Server

    Rounds = Generator[Round, None, None]

_BATCH: Final = 100


def _one_worker(make: Callable[[Server], Traffic], bench: Bench) -> Rounds:
    yield from _against_ceiling(bench, bench.service, make(bench.service))


def _append_recorded(server: Server) -> Traffic:
    return traffic.appends(server, recordings.sizes_bytes(traffic.SESSIONS))


def _history_recorded(server: Server) -> Traffic:
    return traffic.windows(server, recordings.sizes_bytes(traffic.WINDOW_MESSAGES))


def _against_ceiling(bench: Bench, server: Server, load: Traffic) -> Rounds:
    with (
        launch.ceiling(bench.folder, load.calls) as ceiling,
        traffic.all_stored(bench.database_url, load) as loads,
    ):
        for _ in bench.rounds():
            loads.append(bench.closed_loop(server, load))
            answers = bench.closed_loop(ceiling, load)
            yield Round(loads[-1].per_second, answers.per_second)


def _batch(bench: Bench) -> Rounds:
    batches, appends = traffic.batches(bench.service, _BATCH), traffic.appends(bench.service)
    with (
        traffic.all_stored(bench.database_url, batches) as in_batches,
        traffic.all_stored(bench.database_url, appends) as one_by_one,
    ):
        for _ in bench.rounds():
            # One request for each session, because further requests would only wait for its lock until the
            # round ends.
            in_batches.append(bench.closed_loop(bench.service, batches, in_flight=traffic.SESSIONS))
            one_by_one.append(bench.closed_loop(bench.service, appends))
            yield Round(in_batches[-1].per_second * _BATCH, one_by_one[-1].per_second)


_ceiling_row = partial(Row, measured="service", against="ceiling", unit="/s")

ROWS: Final = (
    _ceiling_row(
        name="append",
        title="AppendMessage, one worker",
        run=partial(_one_worker, traffic.appends),
        target=Target(0.55, aim=0.70),
    ),
    _ceiling_row(
        name="history",
        title="GetHistory, one worker",
        run=partial(_one_worker, traffic.windows),
        target=Target(0.45, aim=0.65),
    ),
    _ceiling_row(
        name="append-recorded",
        title="AppendMessage, one worker, recorded sizes",
        run=partial(_one_worker, _append_recorded),
    ),
    _ceiling_row(
        name="history-recorded",
        title="GetHistory, one worker, recorded sizes",
        run=partial(_one_worker, _history_recorded),
    ),
    Row(
        name="batch",
        title=f"messages by AppendMessages of {_BATCH}",
        measured="in batches",
        against="one by one",
        unit="/s",
        run=_batch,
        target=Target(8, aim=15),
    ),
)
