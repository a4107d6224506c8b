"""A Postgres for one test, on TCP and with fsync, to kill, restart, fill and promote."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import sessionhistory_migrations as migrations
from sessionhistory_server.embedded import account as accounts
from sessionhistory_server.embedded import program, wheel
from support.databases import execute
from support.proxy import free_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "history"
ROLE = "session_history"

_INITDB = [f"--username={ROLE}", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync"]
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_error_verbosity": "terse",
}
_CHILDREN_SECONDS = 5
_STOP_SECONDS = 20


class Cluster:
    """One Postgres server and its data, in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self.account = accounts.serving(self.data)
        self.programs = wheel.reachable(self.account, 18, lambda _: None)
        self.settings = _SETTINGS | settings
        self._running = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The service's database."""
        return self._url(DATABASE)

    @property
    def administration_url(self) -> str:
        """The URL of another database of the cluster, whose connections are not the service's."""
        return self._url("postgres")

    @property
    def log(self) -> str:
        """The whole log of Postgres."""
        return (self.folder / "log").read_text(errors="replace")

    def create(self, revision: str = "head") -> None:
        """Create a cluster with the service's database and its schema, and start it."""
        self._make_data()
        self._run("initdb", *_INITDB)
        self.start()
        self.execute(f"create database {DATABASE}")
        migrations.upgrade(self.url, revision)

    def copy(self, other: Cluster) -> None:
        """Copy the data of a stopped cluster."""
        subprocess.run(["cp", "-a", other.data, self.data], check=True, timeout=60)

    def start(self, *, variables: tuple[str, ...] = ()) -> None:
        """Start Postgres with `NAME=VALUE` variables, and wait until it accepts connections."""
        settings = self.settings | {"port": str(self.port)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        prefix = ["/usr/bin/env", *variables] if variables else []
        with (self.folder / "log").open("ab") as log:
            self._process = self._running.enter_context(
                program.start(
                    [*prefix, self.programs / "postgres", *flags],
                    self.data,
                    self.account,
                    death=signal.SIGKILL,
                    output=log.fileno(),
                )
            )
        eventually(lambda: self._ended or self.answers())
        assert not self._ended, self.log

    def answers(self) -> bool:
        """Return whether Postgres accepts connections."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.administration_url, connect_timeout=5),
        ):
            return True
        return False

    def crash(self) -> None:
        """Kill the postmaster (-9), and those of its children that do not notice."""
        children = self._children()
        self._process_or_fail.kill()
        self._process_or_fail.wait(_STOP_SECONDS)
        deadline = time.monotonic() + _CHILDREN_SECONDS
        while any(map(_is_running, children)) and time.monotonic() < deadline:
            time.sleep(0.01)
        for child in filter(_is_running, children):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        eventually(lambda: not any(map(_is_running, children)))
        self._running.close()

    def stop(self) -> None:
        """Stop it like `pg_ctl stop -m fast`: open transactions are rolled back."""
        if self._process is None:
            return
        if not self._ended:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.crash()
        self._running.close()
        self._process = None

    def restart(self) -> None:
        """Stop it fast and start it again."""
        self.stop()
        self.start()

    def kill_backend(self) -> bool:
        """Kill (-9) a backend of the service; Postgres then restarts all its processes."""
        pids = self.execute(
            "select pid from pg_stat_activity"
            " where datname = 'history' and application_name = 'session-history' order by random() limit 1"
        )
        for (pid,) in pids:
            os.kill(int(str(pid)), signal.SIGKILL)
        return bool(pids)

    def terminate_all(self) -> int:
        """Terminate all connections to the service's database; return how many there were."""
        rows = self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'history'"
        )
        return len(rows)

    def alter(self, setting: str, value: str) -> None:
        """Change a setting of the running server that needs no restart."""
        self.execute(f"alter system set {setting} = {value}", "select pg_reload_conf()")

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements, each in a transaction of its own; return the rows of the last."""
        return execute(self._url(database), *statements)

    def follow(self, primary: Cluster) -> None:
        """Start as a synchronous standby of a running cluster, which waits for it in every commit."""
        self._make_data()
        name = "standby"
        source = f"host=127.0.0.1 port={primary.port} user={ROLE} application_name={name}"
        self._run(
            "pg_basebackup",
            "--dbname",
            source,
            "--wal-method=stream",
            "--checkpoint=fast",
            "--write-recovery-conf",
        )
        self.start()
        primary.alter("synchronous_standby_names", f"'{name}'")
        eventually(
            lambda: primary.execute("select 1 from pg_stat_replication where sync_state = 'sync'") != []
        )

    def promote(self) -> None:
        """Turn a standby into a primary."""
        assert self.execute("select pg_promote(true, 30)") == [(True,)]

    @contextmanager
    def connections_taken(self) -> Iterator[None]:
        """Hold every connection that an ordinary client can get."""
        with ExitStack() as stack:
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(self.administration_url, connect_timeout=5))
            yield

    def _url(self, database: str) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    def _make_data(self) -> None:
        self.data.mkdir(mode=0o700)
        self.account.adopt(self.data)

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / "log").open("ab") as log:
            terms: dict[str, Any] = {"death": signal.SIGKILL, "output": log.fileno()}
            command = [self.programs / name, *arguments]
            with program.start(command, self.data, self.account, **terms) as process:
                assert process.wait(60) == 0, self.log

    @property
    def _ended(self) -> bool:
        return self._process_or_fail.poll() is not None

    @property
    def _process_or_fail(self) -> subprocess.Popen[bytes]:
        assert self._process, "it was never started"
        return self._process

    def _children(self) -> list[int]:
        pid = self._process_or_fail.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that every account can reach; remove it in the end."""
    made = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """Mount a small file system in memory; skip the test where that is not allowed."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", path]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False, timeout=10)
    if not mounted or mounted.returncode:
        pytest.skip("this account may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True, timeout=10)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
