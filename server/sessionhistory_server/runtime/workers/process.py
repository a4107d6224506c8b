"""A forked process, and the control socket to it."""

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
"""The signals that the parent handles for all processes."""

_DESCRIPTORS: Final = Path("/proc/self/fd")
_STANDARD: Final = (0, 1, 2)
_MESSAGE_BYTES: Final = 4096

_log = logging.getLogger(__name__)


class Process:
    """A process that was forked from this one. Its control socket keeps the boundaries of messages."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control

    @classmethod
    def fork(cls, work: Callable[[socket.socket], int], *, keep: Collection[int] = ()) -> Process:
        """Fork a process that does its work and ends.

        Args:
            work: Gets the other end of the control socket; returns the exit code.
            keep: The file descriptors to keep, besides the standard ones and the control socket.

        Raises:
            OSError: the system allows no more processes or descriptors.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, _signals_blocked():
                pid = os.fork()
                if pid == 0:
                    _run_child(work, theirs, {*_STANDARD, *keep, theirs.fileno()})
        except OSError:
            ours.close()
            raise
        return cls(pid, ours)

    def send(self, message: bytes) -> None:
        """Send a message, unless the process has ended or its buffer is full."""
        with suppress(OSError):
            self.control.send(message, socket.MSG_DONTWAIT)

    def receive(self) -> str:
        """Wait for the next message of the process; return an empty one once the process has ended."""
        try:
            return self.control.recv(_MESSAGE_BYTES).decode()
        except ConnectionResetError:  # the process has ended before it read the last message
            return ""

    def reap(self) -> int:
        """Wait for the end of the process, which must be near; return its exit code, or minus its signal."""
        self.control.close()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Kill the process. This closes its control socket, and the process can be reaped."""
        os.kill(self.pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """Return an exit code or the name of a signal, for people."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals, because a child would handle them as its parent does until it is set up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _run_child(
    work: Callable[[socket.socket], int], control: socket.socket, keep: Collection[int]
) -> NoReturn:
    """Do the work of a child, and exit without returning, because the stack below belongs to the parent."""
    code = 1
    try:
        _let_go(keep)
        code = work(control)
    except BaseException:  # noqa: BLE001 - see above
        _log.exception("worker failed")
    finally:
        os._exit(code)


def _let_go(keep: Collection[int]) -> None:
    """Ignore the signals that the parent handles, and close the parent's descriptors.

    A terminal sends signals to all processes, but only the parent handles them. The parent's locks and its
    sockets to other processes must not stay open when the parent has ended.
    """
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    for descriptor in [int(entry.name) for entry in _DESCRIPTORS.iterdir()]:
        if descriptor not in keep:
            with suppress(OSError):  # the descriptor that lists the descriptors
                os.close(descriptor)
