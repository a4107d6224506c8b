"""What Postgres itself can do, by pgbench with the service's own statements. No targets: it is far above."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import statements, traffic
from benchmarks.measuring import Round, Row
from benchmarks.pgbench import Pgbench

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.bench import Bench
    from benchmarks.servers import Server
    from benchmarks.statements import Statement
    from benchmarks.traffic import Traffic

# So many that two connections seldom want the same one.
_SESSIONS: Final = 64


def _append(session_id: str) -> Statement:
    return statements.appending(session_id, traffic.text(traffic.MESSAGE_BYTES))


def _against_pgbench(
    make: Callable[[Server], Traffic], statement: Callable[[str], Statement], bench: Bench
) -> Generator[Round, None, None]:
    load = make(bench.service)
    sizes_bytes = [traffic.MESSAGE_BYTES] * traffic.WINDOW_MESSAGES
    sessions = [traffic.make_session(bench.service, sizes_bytes) for _ in range(_SESSIONS)]
    pgbench = Pgbench(bench.folder, bench.database_url, [*map(statement, sessions)])
    with traffic.all_stored(bench.database_url, load) as loads:
        for _ in bench.rounds():
            loads.append(bench.closed_loop(bench.service, load))
            yield Round(loads[-1].per_second, pgbench.per_second(bench.scale.round_seconds))


_row = partial(Row, measured="service", against="pgbench", unit="/s")

ROWS: Final = (
    _row(
        name="append-pgbench",
        title="AppendMessage, one worker, and its statement alone",
        run=partial(_against_pgbench, traffic.appends, _append),
    ),
    _row(
        name="history-pgbench",
        title="GetHistory, one worker, and its statement alone",
        run=partial(_against_pgbench, traffic.windows, statements.reading),
    ),
)
