"""Run a command on a real terminal: a pseudo-terminal of a known width."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, NamedTuple

from support.processes import COMMAND, PATIENCE_SECONDS, environment

if TYPE_CHECKING:
    from pathlib import Path

    from support.service import Service

COLUMNS = 100


class Shown(NamedTuple):
    """The exit code of a command, and the whole output on its terminal."""

    exit_code: int
    text: str


async def on_a_terminal(
    service: Service, *arguments: str | Path, typed: bytes = b"", **variables: str
) -> Shown:
    """Run a command on a terminal, on which the test may type."""
    return await asyncio.to_thread(_run, service, arguments, typed, variables)


def _run(
    service: Service, arguments: tuple[str | Path, ...], typed: bytes, variables: dict[str, str]
) -> Shown:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    own = environment(SESSION_HISTORY_SERVER=service.address, TERM="xterm-256color")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        own.pop(name, None)
    source = theirs if typed else subprocess.DEVNULL
    os.write(ours, typed)
    with subprocess.Popen(
        [COMMAND, *arguments], env=own | variables, stdin=source, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65_536):
                written += chunk
        except OSError:  # Linux reports the end of a terminal so
            pass
        process.wait(PATIENCE_SECONDS)
    os.close(ours)
    return Shown(process.returncode, written.decode(errors="replace").replace("\r\n", "\n"))
