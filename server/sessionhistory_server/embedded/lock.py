"""The lock that reserves a data directory for one server."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sessionhistory_server.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lock(NamedTuple):
    """A held lock. Its file contains the owner's process id and the socket's folder, a line each."""

    fd: int
    former_sockets: Path | None

    def record(self, sockets: Path | None) -> None:
        """Write the id of this process and the folder of the socket into the file."""
        text = os.fsencode(f"{os.getpid()}\n{sockets or ''}\n")
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))


@contextmanager
def held(path: Path) -> Iterator[Lock]:
    """Hold the lock file `path` during the block. The file is never removed.

    Raises:
        EmbeddedPostgresError: Another process holds the lock.
        OSError: The file cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _acquire(fd, path)
        lock = Lock(fd, _sockets(fd))
        lock.record(lock.former_sockets)
        yield lock
    finally:
        os.close(fd)


def is_held(path: Path) -> bool:
    """Return whether another process holds a lock file; a missing file is not held."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def sockets_of_owner(path: Path) -> Path | None:
    """Return the folder of the socket of the process that holds a lock file; ``None``: not created yet."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _sockets(fd)
    finally:
        os.close(fd)


def _acquire(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _lines(fd)[0] or "unknown"
        raise EmbeddedPostgresError(
            f"process {owner} already serves {path.parent}:"
            " connect to that server, or give this one another --data-dir"
        ) from None


def _sockets(fd: int) -> Path | None:
    folder = _lines(fd)[1]
    return Path(folder) if folder else None


def _lines(fd: int) -> list[str]:
    return [*os.fsdecode(os.pread(fd, 4096, 0)).split("\n"), "", ""]
