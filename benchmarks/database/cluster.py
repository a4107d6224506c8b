"""The processes of a Postgres on this machine: find them, and start one without the service."""

from __future__ import annotations

import shlex
import signal
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.errors import InvalidError
from benchmarks.processes import PATIENCE_SECONDS, finish, last_line, parent
from sessionhistory_server.embedded import account as accounts
from sessionhistory_server.embedded import cluster, program, sockets, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from sessionhistory_server.embedded.account import Account


def postmaster(url: str) -> int:
    """Return the process id of the Postgres behind a URL, which is the parent of its other processes."""
    with psycopg.connect(url) as connection:
        return parent(connection.info.backend_pid)


def start_seconds(data_dir: Path, log: Path) -> float:
    """Start Postgres on a data directory and stop it; return the seconds that `pg_ctl -w start` took.

    Raises:
        InvalidError: Postgres did not start.
    """
    account = accounts.serving(data_dir / "postgres")
    folder = sockets.name(account)
    sockets.make(folder, account)
    settings = [part for setting in sockets.settings(folder) for part in ("-c", setting)]
    begin = time.perf_counter()
    try:
        _pg_ctl(data_dir, account, log, "start", f"--options={shlex.join(settings)}")
        return time.perf_counter() - begin
    finally:
        _pg_ctl(data_dir, account, log, "stop", "--mode=fast")
        sockets.discard(folder, account)


def _pg_ctl(data_dir: Path, account: Account, log: Path, *arguments: str) -> None:
    programs = wheel.reachable(account, cluster.VERSION, lambda _: None)
    command: list[str | Path] = [programs / "pg_ctl", "-w", *arguments]
    with (
        log.open("a") as output,
        program.start(
            command, data_dir / "postgres", account, death=signal.SIGKILL, output=output.fileno()
        ) as process,
    ):
        if finish(process, PATIENCE_SECONDS):
            raise InvalidError(f"pg_ctl failed: {last_line(log)}")
