"""The service on Citus, and its statements for Citus, against the service on one machine.

The nodes of the Citus that a run gets are probably on one machine, too, which then also runs the other side.
Such ratios show the cost of the way over the coordinator, not what more machines carry.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.load import traffic
from benchmarks.load.traffic import Traffic
from benchmarks.measurement import Round, Row
from benchmarks.rows.depth import median_millis
from benchmarks.rows.turns import TURNS, start_client
from benchmarks.servers import launch
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from benchmarks.bench import Bench
    from benchmarks.servers.launch import Server

    Rounds = Generator[Round, None, None]


def _throughput(make: Callable[[Server], Traffic], bench: Bench) -> Rounds:
    with ExitStack() as stack:
        sides = []
        for side in (bench.on_citus, bench):
            load = make(side.service)
            sides.append((side, load, stack.enter_context(traffic.all_stored(side.database_url, load))))
        for _ in bench.rounds():
            for side, load, loads in sides:
                loads.append(side.closed_loop(side.service, load))
            yield _round(loads[-1].per_second for _, _, loads in sides)


def _turns(bench: Bench) -> Rounds:
    with ExitStack() as stack:
        clients = [start_client(stack, side.service, side.folder, TURNS) for side in (bench.on_citus, bench)]
        for client in clients:
            client.wait_until_ready()
        for _ in bench.rounds():
            yield _round(client.turns(bench.scale.round_seconds).per_second for client in clients)


def _alone(make: Callable[[Bench], Traffic], bench: Bench) -> Rounds:
    sides = [(side, make(side)) for side in (bench.on_citus, bench)]
    for _ in bench.rounds():
        yield _round(median_millis(side, load) for side, load in sides)


def _append(side: Bench) -> Traffic:
    return traffic.append_to(side.service, [traffic.make_session(side.service, [traffic.MESSAGE_BYTES])])


def _window(side: Bench) -> Traffic:
    sizes_bytes = [traffic.MESSAGE_BYTES] * traffic.WINDOW_MESSAGES
    return traffic.windows_of(side.service, [traffic.make_session(side.service, sizes_bytes)])


def _page(side: Bench) -> Traffic:
    request = pb.ListSessionsRequest(user_id=side.user_of_many, page_size=side.scale.page_size)
    return Traffic(sessions=[], calls=[side.service.record(request)], messages_each=0)


def _two_statements(bench: Bench) -> Rounds:
    where, command = ("--database-url", bench.database_url), processes.module("servers.two_statements")
    with launch.service(bench.folder, *where, command=command) as two:
        bench.warm(two)
        load = traffic.appends(bench.service)
        with traffic.all_stored(bench.database_url, load) as loads:
            for _ in bench.rounds():
                loads += [bench.closed_loop(server, load) for server in (two, bench.service)]
                yield _round(one.per_second for one in loads[-2:])


def _round(figures: Iterable[float]) -> Round:
    measured, against = figures
    return Round(measured, against)


_row = partial(Row, measured="Citus", against="one machine")
_many_row = partial(_row, unit="/s")
_alone_row = partial(_row, unit="ms")

ROWS: Final = (
    _many_row(name="citus-append", title="AppendMessage on Citus", run=partial(_throughput, traffic.appends)),
    _many_row(name="citus-history", title="GetHistory on Citus", run=partial(_throughput, traffic.windows)),
    _many_row(
        name="citus-turns",
        title=f"turns of 16 conversations of {2 * TURNS} messages on Citus",
        run=_turns,
    ),
    _alone_row(
        name="citus-append-alone",
        title="one AppendMessage at a time on Citus",
        run=partial(_alone, _append),
    ),
    _alone_row(
        name="citus-history-alone", title="one GetHistory at a time on Citus", run=partial(_alone, _window)
    ),
    _alone_row(
        name="citus-sessions-page",
        title="page 1 of ListSessions of a user of {many_sessions} sessions on Citus",
        run=partial(_alone, _page),
    ),
    Row(
        name="append-two-statements",
        title="AppendMessage on one machine, with the statements for Citus",
        measured="two statements",
        against="one",
        unit="/s",
        run=_two_statements,
    ),
)
