"""Turns by the service, against a control: what a team writes at first instead, with FastAPI and asyncpg.

The service has credentials and limits, the control has none. Each has a Postgres of its own with the same
settings, and a Python process that makes the turns.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

import sessionhistory_migrations as migrations
from benchmarks import processes
from benchmarks.database import cluster
from benchmarks.load.drivers import Driver
from benchmarks.measurement import Round, Row, Target
from benchmarks.rows.turns import TURNS, start_client
from benchmarks.servers import launch
from sessionhistory_server import embedded

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from benchmarks.bench import Bench

_MILLIS: Final = 1_000
_PER_SECOND: Final = 100
"""The turns that begin each second in a quiet service."""


class _Side(NamedTuple):
    """A program that makes turns, and the process ids of its server and of its Postgres."""

    driver: Driver
    server: int
    postgres: int


@contextmanager
def _sides(bench: Bench) -> Iterator[tuple[_Side, _Side]]:
    """Run the service and the control for the block, each on a new Postgres."""
    with ExitStack() as stack:
        # The control first: without its packages the row is skipped.
        control = _control(stack, bench)
        service = _service(stack, bench)
        for side in (service, control):
            side.driver.wait_until_ready()
        yield service, control


def _service(stack: ExitStack, bench: Bench) -> _Side:
    url = stack.enter_context(_postgres(bench, "service"))
    migrations.upgrade(url)
    server = stack.enter_context(launch.production(bench.folder, url))
    return _Side(start_client(stack, server, bench.folder, TURNS), server.pid, cluster.postmaster(url))


def _control(stack: ExitStack, bench: Bench) -> _Side:
    url = stack.enter_context(_postgres(bench, "control"))
    server = stack.enter_context(launch.control(bench.folder, url))
    arguments, log = (f"127.0.0.1:{server.port}", str(TURNS)), bench.folder / "control-client.log"
    driver = Driver(stack, processes.PEERS_PYTHON, "control", *arguments, log=log)
    return _Side(driver, server.pid, cluster.postmaster(url))


@contextmanager
def _postgres(bench: Bench, name: str) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix=f"{name}-", dir=bench.folder) as folder,
        embedded.running(Path(folder, "data")) as url,
    ):
        yield url


def _per_second(bench: Bench) -> Generator[Round, None, None]:
    with _sides(bench) as sides:
        for _ in bench.rounds():
            service, control = (side.driver.turns(bench.scale.round_seconds).per_second for side in sides)
            yield Round(service, control)


def _cpu(bench: Bench) -> Generator[Round, None, str]:
    latencies: list[tuple[float, float]] = []
    with _sides(bench) as sides:
        for _ in bench.rounds():
            service, control = (_cpu_millis(side, bench.scale.round_seconds) for side in sides)
            others = {
                f"{name}, {part}": millis
                for name, (cpu, _) in (("service", service), ("control", control))
                for part, millis in cpu.items()
            }
            latencies.append((service[1], control[1]))
            yield Round(sum(service[0].values()), sum(control[0].values()), others)
    # On a busy machine, turns overlap and share statements, so their CPU is not that of a quiet service.
    times = (f"{median(side):.1f} ms" for side in zip(*latencies, strict=True))
    return f"median latency of a turn: {' and '.join(times)}"


def _cpu_millis(side: _Side, seconds: float) -> tuple[dict[str, float], float]:
    """Return the CPU of a turn by program, and the median latency, in milliseconds."""
    programs = {"server": side.server, "Postgres": side.postgres}
    begin = {name: processes.cpu_seconds(pid) for name, pid in programs.items()}
    made = side.driver.turns(seconds, per_second=_PER_SECOND)
    used = {name: processes.cpu_seconds(pid) - begin[name] for name, pid in programs.items()}
    cpu = {name: _MILLIS * seconds / len(made.latencies) for name, seconds in used.items()}
    return cpu, _MILLIS * made.median_seconds


def _alone(bench: Bench) -> Generator[Round, None, None]:
    with _sides(bench) as sides:
        for _ in bench.rounds():
            service, control = (
                _MILLIS * side.driver.turns(bench.scale.round_seconds, conversations=1).median_seconds
                for side in sides
            )
            yield Round(service, control)


_row = partial(Row, measured="service", against="control")

ROWS: Final = (
    _row(
        name="control-turns",
        title="turns of 16 conversations, with keys and limits, and by FastAPI with asyncpg",
        unit="/s",
        run=_per_second,
        target=Target(2.2, aim=2.5),
    ),
    _row(
        name="control-cpu",
        title=f"CPU of server and Postgres for a turn, {_PER_SECOND} turns a second",
        unit="ms",
        run=_cpu,
        target=Target(1, aim=0.8, at_most=True),
    ),
    _row(
        name="control-alone",
        title="one turn at a time",
        unit="ms",
        run=_alone,
        target=Target(1.1, at_most=True),
    ),
)
