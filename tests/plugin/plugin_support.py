"""A user's project whose tests use the plugin, and the processes of its runs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    import pytest

PATIENCE_SECONDS = 120

_INI = """
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""


class Project:
    """Test files in a folder of their own, run by a pytest process of their own.

    Args:
        pytester: The folder, and the runner of pytest in it.
        temporary: The temporary folder of all runs, by which their processes are found.
    """

    def __init__(self, pytester: pytest.Pytester, temporary: Path) -> None:
        self._pytester = pytester
        self.temporary = temporary
        pytester.makefile(".ini", pytest=_INI)

    @property
    def folder(self) -> Path:
        """The folder of the files, in which the tests leave notes."""
        return self._pytester.path

    def write(self, **files: str) -> None:
        """Write modules."""
        self._pytester.makepyfile(**files)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run the tests to the end."""
        return self._pytester.runpytest_subprocess(*arguments, timeout=PATIENCE_SECONDS)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start to run the tests, in a process group as a terminal would make it."""
        command = (sys.executable, "-m", "pytest", f"--basetemp={self.folder / 'base'}", *arguments)
        output = (self.folder / "output").open("wb")
        with output:
            return self._pytester.popen(command, stdout=output, stderr=output, start_new_session=True)

    def notes(self, name: str) -> list[str]:
        """Return the lines that tests have written into a file; none if there is no such file."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def processes(self) -> list[int]:
        """Return the remaining processes of the runs: pytest, servers, Postgres."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and self._owns(entry)
        ]

    def servers(self) -> list[int]:
        """Return the processes of servers."""
        return [pid for pid in self.processes() if b"_serve.py" in _read(Path(f"/proc/{pid}/cmdline"))]

    def _owns(self, process: Path) -> bool:
        if f"TMPDIR={self.temporary}".encode() in _read(process / "environ").split(b"\0"):
            return True
        with suppress(OSError):  # Postgres has no environment, but its working folder is the cluster
            return (process / "cwd").readlink().is_relative_to(self.temporary)
        return False


def _read(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


def kill(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
