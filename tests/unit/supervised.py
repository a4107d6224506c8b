"""Run a supervisor whose workers behave as the argument says; for tests that start it as a process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from sessionhistory_server.config import Address
from sessionhistory_server.observability.shared_memory import SharedNumbers
from sessionhistory_server.runtime.server_log import ServerLog
from sessionhistory_server.runtime.workers import messages, supervised_worker, supervisor
from sessionhistory_server.runtime.workers.expectation import Expectation
from sessionhistory_server.runtime.workers.supervisor import Supervisor, WorkersError

if TYPE_CHECKING:
    import socket


def _never_listen(_slot: int, _line: socket.socket) -> int:
    while True:
        time.sleep(1)


def _never_answer(_slot: int, line: socket.socket) -> int:
    line.send(messages.LISTENING.encode())
    while line.recv(16) != messages.STOP:
        pass
    return 0


def _never_end(_slot: int, line: socket.socket) -> int:
    line.send(messages.LISTENING.encode())
    os.kill(os.getppid(), signal.SIGTERM)
    while True:
        time.sleep(1)


def _trouble_outside() -> None:
    raise WorkersError("what is tended has failed")


def _answer(_slot: int, line: socket.socket) -> int:
    line.send(messages.LISTENING.encode())
    while line.recv(16) != messages.STOP:
        line.send(messages.PONG.encode())
    return 0


_WORK = {"never listen": _never_listen, "never answer": _never_answer, "never end": _never_end}


def main(what: str) -> None:
    """Run the supervisor, with short time limits."""
    logging.basicConfig(level="INFO", format="%(message)s")
    supervised_worker.Expectation = lambda: Expectation(limit_seconds=0.2)  # type: ignore[misc, assignment]
    supervisor.ANSWER_SECONDS = 0.2  # type: ignore[misc]
    server_log = ServerLog(Address("127.0.0.1", 1), workers=1)
    tend = _trouble_outside if what == "trouble outside" else lambda: None
    work = _WORK.get(what, _answer)
    try:
        Supervisor(SharedNumbers(1, 10), work, server_log, keep=(), stop_seconds=0.2, tend=tend).run()
    except WorkersError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
