"""The file that Postgres writes to."""

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
_TROUBLE = re.compile(r"\b(PANIC|FATAL|ERROR|error):\s")


class Log(NamedTuple):
    """A log open for appending; what was there before this run ends at `begin` bytes."""

    path: Path
    fd: int
    begin: int

    def cause(self) -> str:
        """Returns the line of this run that best says what went wrong."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self.begin, size - _TAIL_BYTES))
            return cause(file.read().decode(errors="replace"))


def cause(output: str) -> str:
    """Returns the last line of a program's output that tells of trouble, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    troubles = [line[match.start() :] for line in lines if (match := _TROUBLE.search(line))]
    return (troubles or lines or ["it said nothing"])[-1]


@contextmanager
def opened(path: Path) -> Iterator[Log]:
    """Opens the log, after keeping an overlong one as `<name>.1`."""
    if path.exists() and path.stat().st_size > _ROTATE_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        yield Log(path, fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
