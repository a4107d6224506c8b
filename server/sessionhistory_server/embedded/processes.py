"""The processes of a cluster, including those of a dead server.

They are found by the cluster's name, which is in the arguments of the postmaster and in the titles of its
children. So another process that has got a used id is never mistaken for one of them. /proc shows the names
to every account. Without /proc no process is found, and Postgres itself refuses to serve a cluster twice.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.01
FAST_SECONDS = 20.0
QUIT_SECONDS = 5.0
_PROC = Path("/proc")


class Processes(NamedTuple):
    """The processes of one cluster."""

    cluster: Path
    uid: int

    @property
    def name(self) -> str:
        """The unique name of the cluster: the same under all paths of its folder."""
        status = self.cluster.stat()
        return f"session_history.{status.st_dev:x}.{status.st_ino:x}"

    def alive(self) -> list[int]:
        """Return the ids of the running processes, in no order."""
        name = os.fsencode(self.name)
        return [pid for pid in _pids() if _owner(pid) == self.uid and _belongs(pid, name)]

    def end(self) -> None:
        """Stop all processes: the postmaster by a fast shutdown, then the others, at last by SIGKILL.

        Raises:
            EmbeddedPostgresError: A process cannot be stopped.
        """
        postmaster = self._postmaster()
        # Only to the postmaster: SIGINT cancels a statement of its children.
        self._stop(lambda pid: pid == postmaster, signal.SIGINT, FAST_SECONDS)
        self._stop(lambda _: True, signal.SIGQUIT, QUIT_SECONDS)
        self._stop(lambda _: True, signal.SIGKILL, QUIT_SECONDS)
        if left := self.alive():
            raise EmbeddedPostgresError(
                f"process {left[0]} of an earlier run still uses {self.cluster}: end it"
            )
        self.forget()

    def send(self, signum: signal.Signals, chosen: Callable[[int], bool] = lambda _: True) -> list[int]:
        """Send a signal to all processes, or to the chosen ones; return their ids."""
        pids = [pid for pid in self.alive() if chosen(pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
        return pids

    def forget(self) -> None:
        """Remove a stale postmaster.pid if another process has got its process id.

        Postgres would mistake that process for a postmaster, and refuse to start.
        """
        pid = self._postmaster()
        if pid and (_PROC / str(pid)).exists():
            (self.cluster / "postmaster.pid").unlink()

    def _stop(self, chosen: Callable[[int], bool], signum: signal.Signals, seconds: float) -> None:
        pids = self.send(signum, chosen)
        deadline = time.monotonic() + seconds
        while pids and self.alive() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _postmaster(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            return int((self.cluster / "postmaster.pid").read_bytes().split()[0])
        return 0


def _pids() -> list[int]:
    entries = _PROC.iterdir() if (_PROC / "self").exists() else ()
    return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _owner(pid: int) -> int | None:
    try:
        return (_PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def _belongs(pid: int, name: bytes) -> bool:
    try:
        line = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False
    child = line.startswith(b"postgres: " + name + b": ")
    return child or b"cluster_name=" + name in line.split(b"\0")
