"""The benchmark from end to end with very little data: that it measures, not how much."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.database import fill
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.load import traffic
from benchmarks.load.drivers import CONVERSATIONS
from benchmarks.measurement import Result, Round, Row, measure
from benchmarks.report import plot, table
from benchmarks.report.document import document
from benchmarks.rows import ROWS
from benchmarks.rows.turns import start_client
from benchmarks.scale import QUICK
from benchmarks.servers import launch
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.databases import execute
from support.tools import require

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from support.databases import Databases
    from support.proxy_trap import ProxyTrap

TINY = replace(
    QUICK,
    rounds=1,
    round_seconds=0.3,
    long_session=200,
    many_sessions=30,
    deep_page=3,
    page_size=10,
    memory_before=16,
    memory_after=32,
    api_keys=16,
    conversations=3,
)

# One row of each kind.
NAMES = (
    "history",
    "append-alone",
    "flood-appends",
    "append-long",
    "sessions-page",
    "prompt-cache",
    "memory",
    "append-pgbench",
    "append-two-statements",
    "key-cached",
    "token-uncached",
    "page-token",
    "append-with-keys",
)

MACHINE = dict.fromkeys(
    ("processor", "cores", "memory", "kernel", "python", "grpcio", "postgres", "session-history", "date"), "?"
)


@pytest.fixture(scope="module")
def bench(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A run with very little data, on a database of its own."""
    require("h2load", "go", path=os.environ["PATH"])
    folder = tmp_path_factory.mktemp("bench")
    with databases.migrated() as url, Bench(TINY, folder, url) as running:
        yield running


def test_rows(bench: Bench) -> None:
    """Each kind of row is measured, and shown in every form."""
    results = [measure(row, bench) for row in ROWS if row.name in NAMES]

    assert [(result.row.name, result.note) for result in results if not result.rounds] == []
    assert all(result.ratio > 0 and result.measured > 0 for result in results)
    assert {result.status for result in results} <= {"met", "missed", "aim reached", "no target"}
    figures = document(results, MACHINE, TINY)
    assert {row["name"]: row["figures"][row["measured"]] for row in figures["rows"]} == {
        result.row.name: result.measured for result in results
    }
    texts = [element.text for element in ET.fromstring(plot.draw(figures)).iter() if element.text]
    assert "GetHistory" in texts
    assert "budget 4,000, steps of 1,000" in texts
    assert shown(results).count("/s ceiling") == 1


def test_rows_of_streams(bench: Bench) -> None:
    """The calls over streams are measured, and their latencies are in the picture."""
    names = ("append-streams", "history-streams-half", "append-streams-log")
    results = [measure(row, bench) for row in ROWS if row.name in names]

    assert [(result.row.name, result.note) for result in results if not result.rounds] == []
    figures = document(results, MACHINE, TINY)
    texts = [element.text for element in ET.fromstring(plot.draw(figures)).iter() if element.text]
    assert "AppendMessage over streams" in texts
    assert "GetHistory, 50% of the top load" in texts


def test_rows_of_the_control(bench: Bench) -> None:
    """The rows of the control are measured, or say how to install its packages."""
    results = [measure(row, bench) for row in ROWS if row.name.startswith("control-")]

    if processes.PEERS_PYTHON.exists():
        assert [(one.row.name, one.note) for one in results if not one.rounds] == []
        assert results[1].measured == pytest.approx(
            results[1].others["service, server"] + results[1].others["service, Postgres"]
        )
    else:
        assert {(one.status, one.note) for one in results} == {
            ("skipped", "the control's packages are not installed: make peers")
        }


def test_turns(bench: Bench) -> None:
    """Turns follow each other in one or all conversations, or begin at a rate, whatever the others do."""
    with ExitStack() as stack:
        driver = start_client(stack, bench.production, bench.folder, 2)
        driver.wait_until_ready()
        one = driver.turns(0.2, conversations=1)
        all_ = driver.turns(0.2)
        few, again = (driver.turns(0.5, per_second=20) for _ in range(2))

    assert 0 < sum(one.latencies) <= one.seconds
    assert sum(all_.latencies) > all_.seconds
    assert len(all_.latencies) >= CONVERSATIONS
    assert 0 < len(few.latencies) == len(again.latencies) < 30
    assert one.cpu_seconds > 0


def test_cpu_of_processes_that_have_ended() -> None:
    """The CPU time of a process contains that of its children, while they run and after their end."""
    work = "import time\nwhile time.process_time() < 0.3: pass"
    script = f'{sys.executable} -c "$1"; echo ended; read _'
    command = ["sh", "-c", script, "sh", work]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        used = processes.cpu_seconds(process.pid)
        process.communicate(b"\n")

    assert 0.29 < used < 5


def test_rows_of_citus_are_left_out_without_one(bench: Bench) -> None:
    """The rows that need a Citus say how to name one."""
    results = [measure(row, bench) for row in ROWS if row.name.startswith("citus-")]

    assert {(one.status, one.note) for one in results} == {("skipped", "no Citus is given: --citus-url")}


def test_answers_that_are_errors_are_no_figures(bench: Bench) -> None:
    """A load is invalid if its calls begin to fail, although the HTTP status is 200."""
    load = traffic.windows(bench.service)
    execute(bench.database_url, f"delete from sessions where session_id = '{load.sessions[0]}'")

    with pytest.raises(InvalidError, match="not every answer was OK"):
        bench.closed_loop(bench.service, load)


def test_appends_that_are_not_stored_are_no_figures(bench: Bench) -> None:
    """A load is invalid if its acknowledged appends are not stored."""
    load = traffic.appends(bench.service)

    with (
        launch.ceiling(bench.folder, load.calls) as ceiling,
        pytest.raises(InvalidError, match="0 messages are stored"),
        traffic.all_stored(bench.database_url, load) as loads,
    ):
        loads.append(bench.closed_loop(ceiling, load))


def test_filled_sessions_are_as_made_ones(bench: Bench) -> None:
    """A filled session that differs in a column from the service's is refused with the column's name."""
    made = traffic.make_session(bench.service, [traffic.MESSAGE_BYTES] * 5)
    (filled,) = bench.filled_sessions(1, 5)
    fill.check(bench.database_url, made, filled)

    execute(bench.database_url, "update messages set tokens_through = 0 where message_id like '000%4'")
    with pytest.raises(InvalidError, match=r"\['tokens_through'\]"):
        fill.check(bench.database_url, made, filled)


@pytest.mark.parametrize("over_streams", [True, False])
def test_calls_from_go_that_fail_are_no_figures(bench: Bench, *, over_streams: bool) -> None:
    """A load from Go is invalid if a call fails, or if an answer has another size than the recorded one."""
    load = traffic.windows(bench.service)
    grown, deleted = load.sessions[:2]
    bench.service.ask(pb.AppendMessageRequest(session_id=grown, message=traffic.message(1_000)))
    execute(bench.database_url, f"delete from sessions where session_id = '{deleted}'")

    for call, problem in zip(
        load.calls, ("an answer has [0-9]+ bytes", "NotFound|a call .* failed"), strict=False
    ):
        with pytest.raises(InvalidError, match=problem):
            bench.grpc_load.for_seconds(bench.service, [call], 0.1, over_streams=over_streams)


def test_servers_are_reached_directly(tmp_path: Path, database_url: str, proxy_trap: ProxyTrap) -> None:
    """The benchmark's servers are on this machine, and are called without the environment's proxy."""
    with launch.service(tmp_path, "--database-url", database_url) as service:
        load = traffic.windows(service)
    with launch.ceiling(tmp_path, load.calls) as ceiling:
        ceiling.ask(pb.GetHistoryRequest(session_id=load.sessions[0]))
    assert not proxy_trap.was_asked


@pytest.mark.parametrize(("error", "status"), [(SkippedError, "skipped"), (InvalidError, "invalid")])
def test_a_row_without_figures_says_why(tmp_path: Path, error: type[Exception], status: str) -> None:
    """An error that ends a row becomes its status and its note."""

    def run(_bench: Bench) -> Generator[Round, None, None]:
        raise error("no peers")
        yield

    row = Row(name="row", title="a row", measured="this", against="that", unit="/s", run=run)
    result = measure(row, Bench(TINY, tmp_path, "postgresql://"))

    assert (result.status, result.note) == (status, "no peers")


def shown(results: list[Result]) -> str:
    """Return the report's table as text."""
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        console.print(table.render(results))
    return captured.get()


def test_what_is_measured_is_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measured programs do not get the environment's variables for Python, libpq and the service."""
    names = ("PYTHONDONTWRITEBYTECODE", "PGHOST", "SESSION_HISTORY_LISTEN")
    for name in names:
        monkeypatch.setenv(name, "1")
    assert processes.environment(PGHOST="own")["PGHOST"] == "own"
    assert not set(names) & set(processes.environment())
