"""The resources of the service: its memory after much work, and its time to start."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.database import cluster
from benchmarks.load import traffic
from benchmarks.measurement import Round, Row, Target
from benchmarks.servers import launch

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmarks.bench import Bench

    Rounds = Generator[Round, None, None]

_MIB: Final = 1024
_CHUNK: Final = 5_000


def _memory(bench: Bench) -> Rounds:
    """Measure the memory of one worker twice, in one round."""
    with launch.service(bench.folder, "--database-url", bench.database_url) as server:
        loads = [traffic.appends(server), traffic.windows(server)]
        done, taken = 0, []
        for until in (bench.scale.memory_before, bench.scale.memory_after):
            while done < until:
                chunk = min(_CHUNK, until - done)
                for load in loads:
                    bench.h2load.times(server.port, load.calls, chunk // 2)
                done += chunk
                bench.on_progress(done / bench.scale.memory_after)
            taken.append(_worker_mib(server.pid))
    before, after = taken
    yield Round(after, before)


def _worker_mib(pid: int) -> float:
    """Return the resident memory of the largest process among a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max(_resident_mib(pid), *map(_worker_mib, map(int, children)), 0.0)


def _resident_mib(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / _MIB


def _start(bench: Bench) -> Rounds:
    data_dir = bench.folder / "start"
    with launch.service(bench.folder, "--data-dir", data_dir):
        pass
    for _ in bench.rounds():
        begin = time.perf_counter()
        with launch.service(bench.folder, "--data-dir", data_dir):
            serving = time.perf_counter() - begin
        yield Round(serving, cluster.start_seconds(data_dir, bench.folder / "pg_ctl.log"))


ROWS: Final = (
    Row(
        name="memory",
        title="a worker's resident memory after {memory_after} RPCs",
        measured="after {memory_after}",
        against="after {memory_before}",
        unit="MiB",
        run=_memory,
        target=Target(1.1, at_most=True),
    ),
    Row(
        name="start",
        title="from the start to SERVING, with a database of its own",
        measured="serve",
        against="pg_ctl start",
        unit="s",
        run=_start,
        target=Target(2, at_most=True),
    ),
)
