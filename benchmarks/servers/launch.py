"""Launch the servers under load: the service as production runs it, and the ceiling."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import processes
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.servers.calls import EMPTY, record, write_answers
from sessionhistory._transport.targets import NO_PROXY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from google.protobuf.message import Message

    from benchmarks.servers.calls import Call

_COMMAND: Final[list[str | Path]] = [Path(sys.executable).with_name("session-history")]
_LIMITS: Final = (
    "tenant_sessions=1000000000",
    "tenant_bytes=1000TiB",
    "session_messages=1000000000",
    "tenant_requests_per_second=1000000",
)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING


class Program(NamedTuple):
    """A server that is no gRPC server, with its port and its process id."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready, with its port, its process id, and a channel to it."""

    port: int
    pid: int
    channel: grpc.Channel
    key: str | None = None
    """The API key to call it with; ``None``: it asks for none."""

    def record(self, request: Message, *, answer_varies_bytes: int = 0) -> Call:
        """Call the service; return the recorded call."""
        return record(self.channel, request, key=self.key, answer_varies_bytes=answer_varies_bytes)[0]

    def ask(self, request: Message) -> Any:  # noqa: ANN401 - the response of the method
        """Call the service; return the answer."""
        return record(self.channel, request, key=self.key)[1]


def make_key(url: str, tenant: str = "default") -> str:
    """Create an API key of a tenant in a database, and return it."""
    options = ("--tenant", tenant, "--scope", "read", "--scope", "write")
    command = [*_COMMAND, "keys", "create", *options, "--database-url", url]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=processes.environment())
    return made.stdout.strip()


def set_limits(url: str) -> None:
    """Set limits for every tenant in a database, above all that a run needs."""
    command = [*_COMMAND, "limits", "set", *_LIMITS, "--database-url", url]
    subprocess.run(command, capture_output=True, text=True, check=True, env=processes.environment())


def distribute(folder: Path, url: str) -> None:
    """Run `session-history migrate --distribute`; ``folder`` gets its log.

    Raises:
        InvalidError: the command failed.
    """
    command, log = [*_COMMAND, "migrate", "--distribute", "--database-url", url], folder / "migrate.log"
    with processes.running(command, log) as process:
        if processes.finish(process, processes.PATIENCE_SECONDS):
            raise InvalidError(f"migrate failed: {processes.last_line(log)}")


@contextmanager
def service(
    folder: Path,
    *options: str | Path,
    key: str | None = None,
    command: Sequence[str | Path] = _COMMAND,
) -> Iterator[Server]:
    """Run `session-history serve` with one worker for the block, which begins when health is SERVING.

    The ports are free ones; everything that no option sets is the default.

    Args:
        folder: A folder for its log.
        options: Options of `serve`, among them the one that names the database.
        key: An API key. With it, the server asks for one.
        command: The program `session-history`, or a program of the benchmark that takes its place.
    """
    port, log = processes.free_port(), folder / "session-history.log"
    ports = ("--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{processes.free_port()}")
    auth = () if key is None else ("--auth", "keys")
    with processes.running([*command, "serve", *options, *ports, "--workers=1", *auth], log) as process:
        processes.wait_for_port(port, process, log)
        with grpc.insecure_channel(f"127.0.0.1:{port}", [NO_PROXY]) as channel:
            _wait_until_serving(channel)
            yield Server(port, process.pid, channel, key)


@contextmanager
def production(folder: Path, url: str, *options: str) -> Iterator[Server]:
    """Run the service with credentials and limits for the block, as production does."""
    set_limits(url)
    with service(folder, "--database-url", url, "--limits", *options, key=make_key(url)) as server:
        yield server


@contextmanager
def control(folder: Path, url: str) -> Iterator[Program]:
    """Run the control of ``benchmarks.servers.control`` for the block.

    Raises:
        SkippedError: its packages are not installed.
    """
    if not processes.PEERS_PYTHON.exists():
        raise SkippedError("the control's packages are not installed: make peers")
    port, log = processes.free_port(), folder / "control.log"
    command = [*processes.module("servers.control", python=processes.PEERS_PYTHON), str(port), url]
    with processes.running(command, log) as process:
        processes.wait_for_port(port, process, log)
        yield Program(port, process.pid)


@contextmanager
def ceiling(folder: Path, calls: Iterable[Call]) -> Iterator[Server]:
    """Run a server that returns the recorded answers, and an empty answer to an empty call."""
    port, log, answers = processes.free_port(), folder / "ceiling.log", folder / "answers.json"
    write_answers(answers, [EMPTY, *calls])
    command: list[str | Path] = [*processes.module("servers.ceiling"), str(port), answers]
    with processes.running(command, log) as process:
        processes.wait_for_port(port, process, log)
        with grpc.insecure_channel(f"127.0.0.1:{port}", [NO_PROXY]) as channel:
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
