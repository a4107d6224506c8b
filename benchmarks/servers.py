"""The servers under load, each in its own process: the service as production runs it, and the ceiling."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import processes
from benchmarks.calls import EMPTY, record, write_answers
from benchmarks.measuring import SkippedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from benchmarks.calls import Call

_COMMAND: Final[str | Path] = Path(sys.executable).with_name("session-history")
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready: where it listens, and its process."""

    port: int
    pid: int
    channel: grpc.Channel

    def record(self, request: Message, *, answer_varies_bytes: int = 0) -> Call:
        """Make a call of the service's, and return it as recorded."""
        return record(self.channel, request, answer_varies_bytes=answer_varies_bytes)[0]

    def ask(self, request: Message) -> Any:  # noqa: ANN401 - the response of the method
        """Make a call of the service's, and return its answer."""
        return record(self.channel, request)[1]


@contextmanager
def service(folder: Path, *where: str | Path, workers: int = 1) -> Iterator[Server]:
    """Run `session-history serve` with its defaults, but for the ports, until SERVING and then for the block.

    Args:
        folder: For its log.
        where: `--database-url` or `--data-dir`, with its value.
        workers: How many worker processes.

    Raises:
        SkippedError: the command cannot do so many workers.
    """
    if workers > 1 and not _has_workers():
        raise SkippedError("session-history serve has no --workers yet")
    port, log = processes.free_port(), folder / "session-history.log"
    ports = ("--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{processes.free_port()}")
    many = ("--workers", str(workers)) if _has_workers() else ()
    with processes.running([_COMMAND, "serve", *where, *ports, *many], log) as process:
        processes.wait_for_port(port, process, log)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            _wait_until_serving(channel)
            yield Server(port, process.pid, channel)


@contextmanager
def ceiling(folder: Path, calls: Iterable[Call]) -> Iterator[Server]:
    """Run a server that gives recorded answers, and an empty one to an empty call."""
    port, log, answers = processes.free_port(), folder / "ceiling.log", folder / "answers.json"
    write_answers(answers, [EMPTY, *calls])
    command: list[str | Path] = [*processes.module("ceiling"), str(port), answers]
    with processes.running(command, log) as process:
        processes.wait_for_port(port, process, log)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Server(port, process.pid, channel)


def _wait_until_serving(channel: grpc.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(
        health_pb2.HealthCheckRequest(), timeout=processes.PATIENCE_SECONDS, wait_for_ready=True
    )
    for answer in watch:
        if answer.status == _SERVING:
            break
    watch.cancel()


@cache
def _has_workers() -> bool:
    command = [_COMMAND, "serve", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    return "--workers" in shown.stdout
