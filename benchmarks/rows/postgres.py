"""The speed of Postgres itself, measured by pgbench with the service's statements.

The rows have no targets, because Postgres is much faster than the service.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.database import statements
from benchmarks.database.pgbench import Pgbench
from benchmarks.errors import InvalidError
from benchmarks.load import traffic
from benchmarks.measurement import Round, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.bench import Bench
    from benchmarks.database.statements import Statement
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.launch import Server

# With so many sessions, two connections seldom use the same one.
_SESSIONS: Final = 64


def _append(session_id: str) -> Statement:
    return statements.appending(session_id, traffic.text(traffic.MESSAGE_BYTES))


def _against_pgbench(
    make: Callable[[Server], Traffic], statement: Callable[[str], Statement], bench: Bench
) -> Generator[Round, None, None]:
    load, url = make(bench.service), bench.database_url
    sizes_bytes = [traffic.MESSAGE_BYTES] * traffic.WINDOW_MESSAGES
    sessions = [traffic.make_session(bench.service, sizes_bytes) for _ in range(_SESSIONS)]
    alone = statement(sessions[0])
    _check(url, alone, rows=1 if load.messages_each else traffic.WINDOW_MESSAGES)
    pgbench = Pgbench(bench.folder, url, alone, sessions)
    done, before = 0, traffic.count_messages(url, sessions)
    with traffic.all_stored(url, load) as loads:
        for _ in bench.rounds():
            loads.append(bench.closed_loop(bench.service, load))
            statements_run, per_second = pgbench.run(bench.scale.round_seconds)
            done += statements_run
            yield Round(loads[-1].per_second, per_second)
    if traffic.count_messages(url, sessions) - before != done * load.messages_each:
        raise InvalidError("the statement alone stored other messages than the service stores")


def _check(url: str, statement: Statement, *, rows: int) -> None:
    """Check that a statement returns the number of rows that the service gets."""
    with psycopg.connect(url) as connection:
        found = connection.execute(statement.text, statement.parameters).fetchall()
    if len(found) != rows:
        raise InvalidError(f"the statement alone returns {len(found)} rows and not {rows}")


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
