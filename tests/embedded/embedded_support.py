"""Shared by the tests of the embedded Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLIC_PATH = "/usr/local/bin:/usr/bin:/bin"
_SCRIPT = Path(__file__).with_name("embedded_owner.py")
_PATIENCE_SECONDS = 60.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, and fail if it never does."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


def processes(folder: Path) -> list[int]:
    """Return the processes whose working folder is below a folder, as a cluster's processes' are."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (entry / "cwd").samefile(folder):
                found.append(int(entry.name))
    return found


def kill(*pids: int) -> None:
    """Kill processes (-9), some of which may have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def postmaster(data_dir: Path) -> int:
    """Return the process id that Postgres has written into the cluster."""
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def socket_folder(url: str) -> Path:
    """Return the folder that a URL names as host."""
    return Path(str(psycopg.conninfo.conninfo_to_dict(url)["host"]))


def remember(url: str, text: str) -> None:
    """Commit a text to the database."""
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists remembered (text text)")
        connection.execute("insert into remembered values (%s)", [text])


def remembered(url: str) -> list[str]:
    """Return the texts that were committed."""
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute("select text from remembered")]


class Owner:
    """Another process that serves, or tries to serve, a data directory."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, _SCRIPT, data_dir, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        """Wait for the start and return the URL."""
        assert self.process.stdout
        url = self.process.stdout.readline().strip()
        assert url, self.error()
        return url

    def error(self) -> str:
        """Stop the process and return its error output."""
        return self.process.communicate(timeout=_PATIENCE_SECONDS)[1].strip()

    def kill(self) -> None:
        """Kill the process (-9), and no other."""
        self.process.kill()
        self.process.communicate()

    def clean(self) -> None:
        """End all processes, even if the test has failed."""
        self.kill()
        for folder in self.data_dir.glob("postgres*/"):
            kill(*processes(folder))
        if (self.data_dir / "lock").exists():
            sockets = (self.data_dir / "lock").read_text().split("\n")[1]
            shutil.rmtree(sockets or self.data_dir / "none", ignore_errors=True)
