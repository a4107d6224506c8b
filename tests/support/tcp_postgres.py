"""A Postgres for one test that listens on TCP, and can be killed, restarted, copied and promoted."""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import make_conninfo

from sessionhistory_server.embedded import account as accounts
from sessionhistory_server.embedded import program, wheel
from support.databases import execute
from support.proxy import free_port
from support.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

_USER = "session_history"
_INITDB = [f"--username={_USER}", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync"]


class TcpPostgres:
    """The embedded Postgres's programs on a cluster in a folder that every account can reach."""

    def __init__(self, folder: Path, name: str = "primary") -> None:
        self._folder = folder
        self._cluster = folder / name
        self.account = accounts.serving(folder / "no cluster yet")
        self._programs = wheel.reachable(self.account, 18, lambda _: None)
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of its database."""
        return make_conninfo(host="127.0.0.1", port=self.port, user=_USER, dbname="postgres")

    @property
    def log(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def create(self) -> None:
        """Make an empty cluster."""
        self._make_folder()
        self._run("initdb", *_INITDB)

    def start(self, *settings: str) -> None:
        """Start Postgres, and wait until it answers."""
        terms = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            *settings,
        ]
        flags = [flag for setting in terms for flag in ("-c", setting)]
        self._process = self._stack.enter_context(self._started("postgres", flags))
        eventually(self._is_ready)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send Postgres a signal, and wait until it ends."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process = None
            self._stack.close()

    def copy(self, name: str = "standby") -> TcpPostgres:
        """Make a standby of it, which is not started yet."""
        standby = TcpPostgres(self._folder, name)
        standby._make_folder()
        standby._run("pg_basebackup", "-d", self.url, "--write-recovery-conf", "--checkpoint=fast")
        return standby

    def promote(self) -> None:
        """Promote a standby."""
        execute(self.url, "select pg_promote()")

    @property
    def _log(self) -> Path:
        return self._folder / f"{self._cluster.name}.log"

    def _make_folder(self) -> None:
        self._cluster.mkdir(mode=0o700)
        self.account.adopt(self._cluster)

    def _run(self, name: str, *arguments: str) -> None:
        with self._started(name, arguments) as process:
            assert process.wait() == 0, self.log

    @contextmanager
    def _started(self, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        command = [self._programs / name, *arguments]
        with (
            self._log.open("ab") as log,
            program.start(
                command, self._cluster, self.account, death=signal.SIGQUIT, output=log.fileno()
            ) as process,
        ):
            yield process

    def _is_ready(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log
        lines = (self._cluster / "postmaster.pid").read_text().split("\n") if self._has_pid else []
        return lines[:1] == [str(self._process.pid)] and lines[7:8] in (["ready   "], ["standby "])

    @property
    def _has_pid(self) -> bool:
        return (self._cluster / "postmaster.pid").exists()


@contextmanager
def tcp_postgres() -> Iterator[TcpPostgres]:
    """Run an empty Postgres until the block ends; the block may kill or stop it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    postgres = TcpPostgres(folder)
    try:
        postgres.create()
        postgres.start()
        yield postgres
    finally:
        postgres.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
