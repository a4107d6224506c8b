"""The commands on a real terminal: a pseudo-terminal of a known width."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

from cli_import_support import conversation, spoken
from rich.cells import cell_len

from support.processes import COMMAND, PATIENCE_SECONDS, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.service import Service

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_COLUMNS = 100


def _on_a_terminal(service: Service, *arguments: str | Path, typed: bytes = b"") -> str:
    """Run a command on a terminal, on which something may be typed; return all that is shown on it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _COLUMNS, 0, 0))
    variables = environment(SESSION_HISTORY_SERVER=service.address, TERM="xterm-256color")
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        variables.pop(name, None)
    source = theirs if typed else subprocess.DEVNULL
    os.write(ours, typed)
    with subprocess.Popen(
        [COMMAND, *arguments], env=variables, stdin=source, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65_536):
                written += chunk
        except OSError:  # how the end of a terminal looks
            pass
        process.wait(PATIENCE_SECONDS)
    os.close(ours)
    assert process.returncode == 0, written
    return written.decode().replace("\r\n", "\n")


async def test_a_conversation_from_import_to_history(
    shared: Service, write: Callable[..., Path], unique: str
) -> None:
    """The import shows how far it is; what is listed and read is coloured, and as wide as the terminal."""
    path = write(conversation(unique, *spoken(3, characters=300), user_id=unique, title="東京" * 60))
    imported = await asyncio.to_thread(_on_a_terminal, shared, "import", path)
    assert "100%" in imported
    assert imported.endswith("1 conversation imported\n3 messages stored\n")
    for arguments in (["sessions", "--user", unique], ["history", unique]):
        shown = await asyncio.to_thread(_on_a_terminal, shared, *arguments)
        assert _STYLE.search(shown)
        text = _STYLE.sub("", shown)
        assert "\x1b" not in text
        assert _COLUMNS - 2 <= max(map(cell_len, text.splitlines())) <= _COLUMNS


async def test_who_types_is_told_how_to_end(shared: Service, unique: str) -> None:
    """A command that waits for somebody to type says so; the end of the text is its end."""
    for arguments in (["append", unique, "--create"], ["compact", unique, "--through", "1"]):
        shown = await asyncio.to_thread(_on_a_terminal, shared, *arguments, typed=b"A text.\n\x04")
        assert "reading from the terminal; Ctrl-D on an empty line ends the text\n" in shown
        assert "stored" in shown
