"""The log file of Postgres."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROTATE_BYTES = 4 * 1024 * 1024
_TAIL_BYTES = 16 * 1024
_ERROR = re.compile(r"\b(PANIC|FATAL|ERROR|error):\s")


class Log(NamedTuple):
    """A log that is open for appending. The lines of this run begin at byte `begin`."""

    path: Path
    fd: int
    begin: int

    def cause(self) -> str:
        """Return the line of this run that explains a failure best."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self.begin, size - _TAIL_BYTES))
            return cause(file.read().decode(errors="replace"))


def cause(output: str) -> str:
    """Return the last line of a program's output that is an error, or else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line[match.start() :] for line in lines if (match := _ERROR.search(line))]
    return (errors or lines or ["it printed nothing"])[-1]


@contextmanager
def opened(path: Path) -> Iterator[Log]:
    """Open the log. A log that is too long is first renamed to `<name>.1`."""
    if path.exists() and path.stat().st_size > _ROTATE_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        yield Log(path, fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
