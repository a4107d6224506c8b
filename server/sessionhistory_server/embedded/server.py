"""Start the Postgres server, wait until it is ready, and stop it."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.embedded import log, processes, program, sockets
from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable
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
    # Details and contexts of errors can quote rows, which contain conversations.
    "log_error_verbosity=terse",
)


class PostgresServer(NamedTuple):
    """A Postgres server on a cluster, with its programs, account, socket and log."""

    cluster: Path
    account: Account
    programs: Path
    sockets: Path
    log: log.Log
    report: Callable[[str], None]

    @property
    def url(self) -> str:
        """The URL of the service's database."""
        return sockets.url(self.sockets, DATABASE)

    def start(self) -> subprocess.Popen[bytes]:
        """Start Postgres, without waiting until it is ready."""
        return program.start(
            [self.programs / "postgres", *self._settings()],
            self.cluster,
            self.account,
            death=DEATH_SIGNAL,
            output=self.log.fd,
        )

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a started Postgres is ready; create the database if it is missing.

        Raises:
            EmbeddedPostgresError: Postgres does not become ready.
        """
        self._wait(process)
        self._create_database()

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop Postgres and its remaining processes within half a minute."""
        # Through the handle first: only the parent can see that its child has ended.
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

    def clear(self, *, force: bool) -> bool:
        """Signal the processes of a dead postmaster; return whether none is left. Never wait.

        Args:
            force: Kill the processes instead of asking them to quit.
        """
        if self._processes.send(signal.SIGKILL if force else signal.SIGQUIT):
            return False
        self._processes.forget()
        sockets.clear(self.sockets)
        return True

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
                raise self.failure("did not start", self.log.cause())
            if waited > _SLOW_SECONDS and not slow:
                slow = True
                self.report(f"waiting for Postgres to recover, see {self.log.path}")
            time.sleep(processes.POLL_SECONDS)

    def _ready(self, pid: int) -> bool:
        """Read the status that Postgres writes for pg_ctl: attempts to connect would fill the log."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text(errors="replace").split("\n")
        except OSError:
            return False
        return lines[0] == str(pid) and lines[7:8] == ["ready   "]

    def _create_database(self) -> None:
        import psycopg  # noqa: PLC0415 - imported while Postgres starts, because the import takes as long

        url = sockets.url(self.sockets, "postgres")
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
                query = "select from pg_database where datname = %s"
                if not connection.execute(query, [DATABASE]).rowcount:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.Error as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise self.failure("cannot be used", reason) from error

    def failure(self, what: str, cause: str) -> EmbeddedPostgresError:
        """Return an error that names the log."""
        return EmbeddedPostgresError(f"the embedded Postgres {what}: {cause} (see {self.log.path})")
