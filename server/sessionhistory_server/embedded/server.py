"""The Postgres server process: its start, its readiness, its stop."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.embedded import log, processes, program, sockets
from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sessionhistory_server.embedded.account import Account

DATABASE = "session_history"
DEATH_SIGNAL = signal.SIGINT
_READY_SECONDS = 60.0
_SLOW_SECONDS = 2.0
_SETTINGS = (
    "max_connections=100",
    "jit=off",
    "fsync=on",
    "timezone=UTC",
    "log_timezone=UTC",
    # Details and contexts of errors can quote rows, and rows are conversations.
    "log_error_verbosity=terse",
)


class Server(NamedTuple):
    """What is needed to start Postgres on a cluster."""

    cluster: Path
    account: Account
    programs: Path
    sockets: Path
    log: log.Log
    report: Callable[[str], None]

    @contextmanager
    def running(self, meanwhile: Callable[[], object]) -> Iterator[str]:
        """Runs Postgres for the length of the block, and yields the URL of our database.

        Args:
            meanwhile: Called while Postgres starts.

        Raises:
            EmbeddedPostgresError: It does not become ready.
        """
        with program.started(
            [self.programs / "postgres", *self._settings()],
            self.cluster,
            self.account,
            death=DEATH_SIGNAL,
            output=self.log.fd,
        ) as process:
            try:
                meanwhile()
                self._wait(process)
                self._create_database()
                yield sockets.url(self.sockets, DATABASE)
            finally:
                self._stop(process)

    @property
    def _processes(self) -> processes.Processes:
        return processes.Processes(self.cluster, self.account.uid)

    def _settings(self) -> list[str]:
        name = f"cluster_name={self._processes.name}"
        settings = (*_SETTINGS, *sockets.settings(self.sockets), name)
        return [argument for setting in settings for argument in ("-c", setting)]

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        begin = time.monotonic()
        slow = False
        while not self._ready(process.pid):
            waited = time.monotonic() - begin
            if process.poll() is not None or waited > _READY_SECONDS:
                raise self._failure("did not start", self.log.cause())
            if waited > _SLOW_SECONDS and not slow:
                slow = True
                self.report(f"waiting for Postgres to recover, see {self.log.path}")
            time.sleep(processes.POLL_SECONDS)

    def _ready(self, pid: int) -> bool:
        """Reads the status Postgres keeps for pg_ctl: asking by connecting would fill the log."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text(errors="replace").split("\n")
        except OSError:
            return False
        return lines[0] == str(pid) and lines[7:8] == ["ready   "]

    def _create_database(self) -> None:
        import psycopg  # noqa: PLC0415 - not before Postgres starts: it takes as long to import

        url = sockets.url(self.sockets, "postgres")
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
                query = "select from pg_database where datname = %s"
                if not connection.execute(query, [DATABASE]).rowcount:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.Error as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise self._failure("cannot be used", reason) from error

    def _failure(self, what: str, cause: str) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(f"the embedded Postgres {what}: {cause} (see {self.log.path})")

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        # By way of the handle first, since only the parent can see its child to the very end.
        for signum, seconds in (
            (signal.SIGINT, processes.FAST_SECONDS),
            (signal.SIGQUIT, processes.QUIT_SECONDS),
            (signal.SIGKILL, processes.QUIT_SECONDS),
        ):
            process.send_signal(signum)
            try:
                process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._processes.end()
