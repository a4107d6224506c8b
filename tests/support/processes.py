"""Run the command `session-history` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.service import connect_thread
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc

COMMAND = Path(sys.executable).with_name("session-history")
PATIENCE_SECONDS = 60

_DEFAULTS = ("--listen", "127.0.0.1:0", "--metrics-listen", "off", "--log-format", "json")

_LISTENING = re.compile(r"listening on (?P<address>\S+:[0-9]+):")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without the service's settings, and with the given variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_HISTORY_")}
    return kept | variables


def run(*arguments: str | Path, variables: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """Run a command of `session-history` until it ends."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Server:
    """`session-history serve` in a process group of its own, on any free port; a metrics port is optional.

    Another command that serves can be given, with a folder and an environment of its own.
    """

    def __init__(
        self,
        *arguments: str | Path,
        command: Sequence[str | Path] = (COMMAND, "serve", *_DEFAULTS),
        cwd: Path | None = None,
        metrics_port: int | None = None,
        **variables: str,
    ) -> None:
        self.lines: list[str] = []
        self.metrics_port = metrics_port
        if metrics_port is not None:
            arguments += ("--metrics-listen", f"127.0.0.1:{metrics_port}")
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=cwd,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """All output of the server."""
        return "".join(self.lines)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines, which are JSON objects."""
        return [json.loads(line) for line in self.lines]

    def address(self) -> str:
        """Wait until the server listens; return its address, which it logs."""
        eventually(lambda: _LISTENING.search(self.log) or self.process.poll() is not None)
        match = _LISTENING.search(self.log)
        assert match, self.log
        return match["address"]

    def stub(self, credentials: grpc.ChannelCredentials | None = None) -> Any:
        """Wait until the server serves; return a stub for it."""
        self.wait_for("database: ready")
        return pb_grpc.SessionHistoryServiceStub(connect_thread(self.address(), credentials))

    def wait_for(self, text: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the log contains a text."""
        eventually(
            lambda: text in self.log or self.process.poll() is not None, patience_seconds=patience_seconds
        )
        assert text in self.log, self.log

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Wait until the server ends; return the exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def clean(self) -> None:
        """End all processes, even if the test has failed."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait()
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)  # to workers that have outlived the supervisor
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
