"""Run an embedded Postgres 18, if no database is given.

    with embedded.running(Path("data")) as url:
        psycopg.connect(url)

A server uses `embedded.kept` instead: its keeper restarts Postgres when it has ended.

Postgres serves one data directory to one server, over a private Unix socket, and ends with that server.
The directory contains `lock` (the server's process id and the socket's folder), `postgres/` (the data, with
fsync on) and `postgres.log`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sessionhistory_server.embedded import account, cluster, data_directory, lock, log, sockets, wheel
from sessionhistory_server.embedded.errors import EmbeddedPostgresError
from sessionhistory_server.embedded.keeper import Keeper
from sessionhistory_server.embedded.processes import Processes
from sessionhistory_server.embedded.server import DATABASE, PostgresServer
from sessionhistory_server.embedded.wheel import binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sessionhistory_server.embedded.account import Account
    from sessionhistory_server.embedded.lock import Lock

__all__ = ["EmbeddedPostgresError", "Keeper", "binaries", "kept", "reached", "running"]


def _silent(_message: str) -> None:
    pass


def _idle() -> None:
    pass


@contextmanager
def running(data_dir: Path, *, report: Callable[[str], None] = _silent) -> Iterator[str]:
    """Run Postgres as `kept` does, and yield its URL. If Postgres ends, it is not restarted."""
    with kept(data_dir, report=report) as keeper:
        yield keeper.url


@contextmanager
def reached(data_dir: Path) -> Iterator[tuple[str, bool]]:
    """Yield the URL of Postgres on a data directory, and whether it runs for this block only.

    If another process serves the directory, its Postgres is used; else Postgres runs during the block.

    Raises:
        EmbeddedPostgresError: as `kept`; or another process serves the directory, and has just started.
    """
    if not lock.is_held(data_dir / "lock"):
        with running(data_dir) as url:
            yield url, True
        return
    folder = lock.sockets_of_owner(data_dir / "lock")
    if folder is None:
        raise EmbeddedPostgresError(f"the server on {data_dir} is starting or stopping: try again")
    yield sockets.url(folder, DATABASE), False


@contextmanager
def kept(
    data_dir: Path,
    *,
    report: Callable[[str], None] = _silent,
    meanwhile: Callable[[], object] = _idle,
) -> Iterator[Keeper]:
    """Run Postgres on a data directory during the block; create the directory on first use.

    Call it on the main thread. On Linux, Postgres gets a signal to stop when the thread that started it ends,
    so that it stops even if this process is killed.

    Args:
        data_dir: The data directory. A missing one is created, mode 0700; one with other files is refused.
        report: Called with a line of text before each step that may take a while.
        meanwhile: Called once, while Postgres starts.

    Yields:
        The keeper, which has the libpq URL. Role and database are `session_history`, the host is the
        socket's folder.

    Raises:
        EmbeddedPostgresError: Postgres cannot run. The message has the remedy.
    """
    with ExitStack() as stack:
        try:
            server = _prepare(stack, data_dir, report)
            keeper = Keeper(server)
            stack.callback(keeper.stop)
            meanwhile()
            keeper.wait()
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot use {error.filename or data_dir}: {error.strerror}:"
                " put that right, or choose another --data-dir"
            ) from error
        yield keeper


def _prepare(stack: ExitStack, data_dir: Path, report: Callable[[str], None]) -> PostgresServer:
    data_dir = data_directory.prepare(data_dir)
    held = stack.enter_context(lock.held(data_dir / "lock"))
    data = data_dir / "postgres"
    owner = account.serving(data)
    programs = wheel.reachable(owner, cluster.VERSION, report)
    _clean_up(data_dir, held, owner, report)
    if not data.exists():
        report(f"creating a new database in {data_dir}")
        cluster.create(data, owner, programs)
    opened = stack.enter_context(log.opened(data_dir / "postgres.log"))
    return PostgresServer(data, owner, programs, _socket_folder(stack, held, owner), opened, report)


def _clean_up(data_dir: Path, held: Lock, owner: Account, report: Callable[[str], None]) -> None:
    """Remove the files and end the processes that a killed run has left."""
    cluster.discard_unfinished(data_dir)
    data = data_dir / "postgres"
    if data.exists():
        cluster.check(data)
        left = Processes(data, owner.uid)
        if left.alive():
            report("stopping a Postgres that an earlier run left running")
        left.end()
    if held.former_sockets:
        sockets.discard(held.former_sockets, owner)


def _socket_folder(stack: ExitStack, held: Lock, owner: Account) -> Path:
    folder = sockets.name(owner)
    # Recorded before it is created, so that the next run can remove it if this one is killed.
    held.record(folder)
    stack.callback(held.record, None)
    stack.callback(sockets.discard, folder, owner)
    sockets.make(folder, owner)
    return folder
