"""A forked process, and a line to it."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""Those that the parent heeds for all."""

_DESCRIPTORS: Final = Path("/proc/self/fd")
_STANDARD: Final = (0, 1, 2)
_MESSAGE_BYTES: Final = 4096

_log = logging.getLogger(__name__)


class Process:
    """A process forked from this one. Each message on its line comes as it was sent."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.line = line

    @classmethod
    def fork(cls, work: Callable[[socket.socket], int], *, keep: Collection[int] = ()) -> Process:
        """Fork a process that does its work, and ends.

        Args:
            work: Gets the other end of the line; returns the exit code.
            keep: The file descriptors that it keeps, besides the standard ones and its line.

        Raises:
            OSError: there can be no more processes or descriptors.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, _held():
                pid = os.fork()
                if pid == 0:
                    _be(work, theirs, {*_STANDARD, *keep, theirs.fileno()})
        except OSError:
            ours.close()
            raise
        return cls(pid, ours)

    def tell(self, message: bytes) -> None:
        """Send it a message, if it is still there."""
        with suppress(OSError):
            self.line.send(message)

    def hear(self) -> str:
        """Wait for its next message; empty once it has ended, in whatever way."""
        try:
            return self.line.recv(_MESSAGE_BYTES).decode()
        except ConnectionResetError:  # it has ended without reading ours
            return ""

    def reap(self) -> int:
        """Wait for its end, which must be near; return its exit code, or minus the signal that killed it."""
        self.line.close()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)
        self.reap()


def described(code: int) -> str:
    """Return how a process ended, for people."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _held() -> Iterator[None]:
    """Hold signals back: a child that is not settled yet would handle them as its parent does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _be(work: Callable[[socket.socket], int], line: socket.socket, keep: Collection[int]) -> NoReturn:
    """Do the work of a child, and end: what is below on the stack is the parent's."""
    code = 1
    try:
        _settle(keep)
        code = work(line)
    except BaseException:  # noqa: BLE001 - as said
        _log.exception("worker failed")
    finally:
        os._exit(code)


def _settle(keep: Collection[int]) -> None:
    """Let go of what is the parent's.

    A terminal sends signals to all, but it is the parent that heeds them. And what it has open, like its
    lines to others and its locks, must be closed when it is gone.
    """
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    for descriptor in [int(entry.name) for entry in _DESCRIPTORS.iterdir()]:
        if descriptor not in keep:
            with suppress(OSError):  # that of the listing itself
                os.close(descriptor)
