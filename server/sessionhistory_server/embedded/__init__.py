"""A real Postgres 18 of our own, for when no database is given.

    with embedded.running(Path("data")) as url:
        psycopg.connect(url)

It serves one data directory to one server, over a private Unix socket, and cannot outlive us.
In the directory: `lock` (our process id and the socket's folder), `postgres/` (the data, with
fsync on), `postgres.log`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sessionhistory_server.embedded import account as accounts
from sessionhistory_server.embedded import cluster as clusters
from sessionhistory_server.embedded import folder as folders
from sessionhistory_server.embedded import lock as locks
from sessionhistory_server.embedded import log as logs
from sessionhistory_server.embedded import sockets, wheel
from sessionhistory_server.embedded.errors import EmbeddedPostgresError
from sessionhistory_server.embedded.processes import Processes
from sessionhistory_server.embedded.server import Server
from sessionhistory_server.embedded.wheel import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["EmbeddedPostgresError", "binaries", "running"]


def _silent(_message: str) -> None:
    pass


def _idle() -> None:
    pass


@contextmanager
def running(
    data_dir: Path,
    *,
    report: Callable[[str], None] = _silent,
    meanwhile: Callable[[], object] = _idle,
) -> Iterator[str]:
    """Runs Postgres on a data directory, making it on first use, for the length of the block.

    Call it on the main thread: on Linux Postgres is told to stop when the thread that started it
    ends, so that it goes down even if we are killed.

    Args:
        data_dir: The folder for everything; made, with mode 0700, if it is missing. One that
            holds something else is refused.
        report: Called with a line of text before each step that may take a while.
        meanwhile: Called once, while Postgres starts.

    Yields:
        A libpq URL; role and database are `session_history`, the host is the socket's folder.

    Raises:
        EmbeddedPostgresError: It cannot run; the message says what to do.
    """
    with ExitStack() as stack:
        try:
            server = _prepare(stack, data_dir, report)
            url = stack.enter_context(server.running(meanwhile))
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot use {error.filename or data_dir}: {error.strerror}:"
                " put that right, or choose another --data-dir"
            ) from error
        yield url


def _prepare(stack: ExitStack, data_dir: Path, report: Callable[[str], None]) -> Server:
    data_dir = folders.prepare(data_dir)
    lock = stack.enter_context(locks.held(data_dir / "lock"))
    cluster = data_dir / "postgres"
    account = accounts.serving(cluster)
    programs = wheel.reachable(account, clusters.VERSION, report)
    _tidy(data_dir, lock, account, report)
    if not cluster.exists():
        report(f"creating a new database in {data_dir}")
        clusters.create(cluster, account, programs)
    log = stack.enter_context(logs.opened(data_dir / "postgres.log"))
    folder = _socket_folder(stack, lock, account)
    return Server(cluster, account, programs, folder, log, report)


def _tidy(data_dir: Path, lock: locks.Lock, account: accounts.Account, report: Callable[[str], None]) -> None:
    """Clears away what a run that was killed has left."""
    clusters.discard_unfinished(data_dir)
    cluster = data_dir / "postgres"
    if cluster.exists():
        clusters.check(cluster)
        left = Processes(cluster, account.uid)
        if left.alive():
            report("stopping a Postgres that an earlier run left behind")
        left.end()
    if lock.former_sockets:
        sockets.discard(lock.former_sockets, account)


def _socket_folder(stack: ExitStack, lock: locks.Lock, account: accounts.Account) -> Path:
    folder = sockets.name(account)
    # Known before it is made, so that the next run can remove it whatever happens to this one.
    lock.record(folder)
    stack.callback(lock.record, None)
    stack.callback(sockets.discard, folder, account)
    sockets.make(folder, account)
    return folder
