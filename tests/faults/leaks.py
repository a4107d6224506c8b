"""The resources that an idle server holds, which must be the same before and after a fault."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from support.metrics import Metrics
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Cluster

    from support.processes import Server

_SLACK_FILES = 8
_SLACK_THREADS = 4
# The tasks of monitors and probes come and go.
_SLACK_TASKS = 8
_SECONDS = 40
# The default grace, the time that a killed worker may take beyond it, and slack.
_STOP_SECONDS = 25

_CONNECTIONS = "select count(*) from pg_stat_activity where datname = 'history'"
_OPEN = """
select count(*) from pg_stat_activity
where datname = 'history' and (state <> 'idle' or wait_event_type = 'Lock') and pid <> pg_backend_pid()
"""
_LOCKS = """
select count(*) from pg_locks join pg_stat_activity using (pid)
where datname = 'history' and locktype in ('relation', 'tuple', 'transactionid', 'advisory')
"""


class Held(NamedTuple):
    """The resources of a server: files and threads of each worker at most, tasks in all."""

    files: int
    threads: int
    tasks: float


def held(server: Server) -> Held:
    """Return the files and threads of the worker that has most, and the tasks of all workers."""
    return Held(_most(_files, server), _most(_threads, server), _tasks(server))


def workers(server: Server) -> list[int]:
    """Return the running worker processes of a server."""
    pid = server.process.pid
    with suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if resident_bytes(int(child))]
    return []


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0


def ends_in_order(server: Server) -> None:
    """Stop a server; it must end within its grace and some slack, and leave no worker.

    A server that has ended already, by the test or by itself, is left alone.
    """
    if server.process.poll() is None:
        left = workers(server)
        server.process.terminate()
        assert server.process.wait(_STOP_SECONDS) == 0, server.log
        assert not any(map(resident_bytes, left)), server.log
    assert server.process.returncode in {0, -signal.SIGKILL}, server.log


def none_since(before: Held, server: Server, cluster: Cluster, *, pool_size: int, servers: int = 1) -> None:
    """Wait until the server holds no more resources than before.

    These are connections, transactions, locks, files, threads and tasks. The pool closes connections that it
    does not need only after minutes, so the bound for connections is the pool's size.
    """
    bound = (pool_size + 1) * len(workers(server)) * servers
    eventually(lambda: _count(cluster, _OPEN) == 0, patience_seconds=_SECONDS)
    eventually(lambda: _count(cluster, _LOCKS) == 0, patience_seconds=_SECONDS)
    assert _count(cluster, "select count(*) from pg_prepared_xacts") == 0
    eventually(lambda: _count(cluster, _CONNECTIONS) <= bound, patience_seconds=_SECONDS)
    eventually(
        lambda: _most(_files, server) <= before.files + _SLACK_FILES + pool_size, patience_seconds=_SECONDS
    )
    eventually(lambda: _most(_threads, server) <= before.threads + _SLACK_THREADS, patience_seconds=_SECONDS)
    eventually(lambda: _tasks(server) <= before.tasks + pool_size + _SLACK_TASKS, patience_seconds=_SECONDS)


def _count(cluster: Cluster, query: str) -> int:
    ((count,),) = cluster.execute(query)
    return int(str(count))


def _files(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def _tasks(server: Server) -> float:
    assert server.metrics_port
    return Metrics(server.metrics_port).read()["sessionhistory_tasks",]


def _most(count: Callable[[int], int], server: Server) -> int:
    pids = workers(server)
    assert pids, server.log
    return max(map(count, pids))


def _threads(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    return 0
