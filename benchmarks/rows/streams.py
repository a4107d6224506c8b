"""Calls over streams from a program in Go, against the ceiling of unary calls from the same program.

64 calls are in flight over 8 connections and 8 sessions. The service has credentials and limits.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import processes
from benchmarks.load import traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from benchmarks.bench import Bench
    from benchmarks.load.h2load import Load
    from benchmarks.load.traffic import Traffic
    from benchmarks.servers.launch import Server

    Make = Callable[[Server], Traffic]

SHARES: Final = {"quarter": 0.25, "half": 0.5, "three-quarters": 0.75}
"""The shares of the top load at which the latencies are measured, by name."""
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "largest": 1.0}
"""The shown quantiles of the latencies of a round, by name."""
_MILLIS: Final = 1e3
_MICROS: Final = 1e6
_TOP_LOADS: Final = 3


class _Side(NamedTuple):
    """A server under a load, with its name in the report, and whether its calls are made over streams."""

    name: str
    server: Server
    over_streams: bool


class _Sides:
    """The service and the ceiling under the same calls."""

    def __init__(self, bench: Bench, ceiling: Server, load: Traffic, loads: list[Load]) -> None:
        self._bench = bench
        self._load = load
        self._loads = loads
        self.streams = _Side("over streams", bench.production, over_streams=True)
        self.unary = _Side("unary", bench.production, over_streams=False)
        self.ceiling = _Side("ceiling", ceiling, over_streams=False)

    def measure(self, side: _Side, per_second: float | None = None) -> Load:
        """Make the calls for a round, 64 at a time, or so many each second."""
        found = self._bench.grpc_load.for_seconds(
            side.server,
            self._load.calls,
            self._bench.scale.round_seconds,
            over_streams=side.over_streams,
            per_second=per_second,
        )
        if side is not self.ceiling:
            self._loads.append(found)
        return found

    def measure_cpu(self, side: _Side) -> tuple[Load, float]:
        """Make the calls for a round; also return the server's CPU of a call in microseconds."""
        begin = processes.cpu_seconds(side.server.pid)
        found = self.measure(side)
        return found, (processes.cpu_seconds(side.server.pid) - begin) / found.answered * _MICROS


@contextmanager
def _sides(make: Make, bench: Bench) -> Iterator[_Sides]:
    load = make(bench.production)
    with (
        launch.ceiling(bench.folder, load.calls) as ceiling,
        traffic.all_stored(bench.database_url, load) as loads,
    ):
        yield _Sides(bench, ceiling, load, loads)


def _top(make: Make, bench: Bench) -> Generator[Round, None, str]:
    micros: dict[str, list[float]] = {}
    with _sides(make, bench) as sides:
        for _ in bench.rounds():
            rates = {}
            for side in (sides.streams, sides.ceiling, sides.unary):
                found, cpu = sides.measure_cpu(side)
                rates[side.name] = found.per_second
                micros.setdefault(side.name, []).append(cpu)
            yield Round(rates["over streams"], rates["ceiling"], {"unary": rates["unary"]})
    return f"CPU of a call: {', '.join(f'{median(cpu):.0f} µs {name}' for name, cpu in micros.items())}"


@cache
def _lower_top_load(make: Make, bench: Bench) -> float:
    """Return the lower one of the top loads of the service over streams and of the ceiling."""
    with _sides(make, bench) as sides:
        rounds = bench.rounds()[:_TOP_LOADS]
        tops = [[sides.measure(side).per_second for side in (sides.streams, sides.ceiling)] for _ in rounds]
    streams, ceiling = map(median, zip(*tops, strict=True))
    return float(min(streams, ceiling))


def _latencies(make: Make, share: float, bench: Bench) -> Generator[Round, None, str]:
    rate = share * _lower_top_load(make, bench)
    with _sides(make, bench) as sides:
        for _ in bench.rounds():
            streams, ceiling = (
                _quantiles(sides.measure(side, rate)) for side in (sides.streams, sides.ceiling)
            )
            others = {f"{name}, over streams": streams[name] for name in list(QUANTILES)[1:]}
            others |= {f"{name}, ceiling": ceiling[name] for name in list(QUANTILES)[1:]}
            yield Round(streams["p50"], ceiling["p50"], others)
    return f"at {rate:,.0f}/s"


def _quantiles(load: Load) -> dict[str, float]:
    return {name: _MILLIS * load.quantile(share) for name, share in QUANTILES.items()}


def _log(bench: Bench) -> Generator[Round, None, None]:
    """Compare the CPU of an append whose line is logged with that of one whose line is not."""
    with launch.production(bench.folder, bench.database_url, "--log-level", "debug") as logging:
        bench.warm(logging)
        sides = [(server, traffic.appends(server)) for server in (logging, bench.production)]
        for _ in bench.rounds():
            logged, silent = (_append_micros(bench, server, load) for server, load in sides)
            yield Round(logged, silent)


def _append_micros(bench: Bench, server: Server, load: Traffic) -> float:
    begin = processes.cpu_seconds(server.pid)
    found = bench.grpc_load.for_seconds(server, load.calls, bench.scale.round_seconds, over_streams=True)
    return (processes.cpu_seconds(server.pid) - begin) / found.answered * _MICROS


_row = partial(Row, measured="over streams", against="ceiling")
_top_row = partial(_row, unit="/s")


def _latency_rows(prefix: str, method: str, make: Make) -> tuple[Row, ...]:
    return tuple(
        _row(
            name=f"{prefix}-streams-{name}",
            title=f"p50 of {method} over streams, at {share:.0%} of the lower top load",
            unit="ms",
            run=partial(_latencies, make, share),
            target=Target(3, aim=2, at_most=True) if name == "half" else None,
        )
        for name, share in SHARES.items()
    )


ROWS: Final = (
    _top_row(
        name="append-streams",
        title="AppendMessage over streams, from Go, one worker with keys and limits",
        run=partial(_top, traffic.appends),
        target=Target(1.8, aim=2.5),
    ),
    _top_row(
        name="history-streams",
        title="GetHistory over streams, the same",
        run=partial(_top, traffic.windows),
        target=Target(1, aim=1.4),
    ),
    *_latency_rows("append", "AppendMessage", traffic.appends),
    *_latency_rows("history", "GetHistory", traffic.windows),
    Row(
        name="append-streams-log",
        title="CPU of the server for an AppendMessage over streams with its line in the log",
        measured="debug",
        against="info",
        unit="µs",
        run=_log,
    ),
)
