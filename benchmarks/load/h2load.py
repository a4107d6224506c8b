"""Send load with h2load.

h2load takes a fifth of a core for 4,000 requests a second. A client that encodes messages would take as much
CPU as the server. h2load does not know gRPC, and sends a body from a file. The size of the answers shows
whether they are OK, because an error has an empty body. With a given rate, the load is an open loop: each
request begins at its time, with any number in flight. So a server that stalls cannot hide it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from subprocess import Popen

    from benchmarks.servers.calls import Call

IN_FLIGHT: Final = 64

# Clients should set a deadline. This one is much longer than any call takes.
_HEADERS: Final = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 10S")
_FRAME_BYTES: Final = 5
_FLOOD_STREAMS: Final = 32
"""The requests in flight on each connection of a flood."""
# An open loop never waits for a free stream.
_UNBOUNDED: Final = 1_000
_COUNTS: Final = re.compile(
    r"requests: \d+ total, (?P<started>\d+) started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded"
)
_FINISHED: Final = re.compile(r"finished in (?P<time>[0-9.]+)(?P<unit>us|ms|s), ")
_SECONDS: Final = {"s": 1, "ms": 1e-3, "us": 1e-6}
_DATA: Final = re.compile(r"\((?P<bytes>\d+)\) data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The outcome of a load: requests, answers, their rate, and sorted latencies in seconds, if recorded."""

    sent: int
    answered: int
    per_second: float
    latencies: Sequence[float] = ()

    def quantile(self, share: float) -> float:
        """Return the quantile ``share`` of the latencies, in seconds."""
        return self.latencies[int(share * (len(self.latencies) - 1))]


def is_installed() -> bool:
    """Return whether h2load is installed."""
    return shutil.which("h2load") is not None


class H2load:
    """A runner of h2load, with one process for each call, because a process sends one body."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def for_seconds(
        self,
        port: int,
        calls: Sequence[Call],
        seconds: float,
        *,
        in_flight: int = IN_FLIGHT,
        per_second: float | None = None,
        timed: bool = False,
    ) -> Load:
        """Repeat calls for ``seconds``. Requests in flight at the end count as sent, not as answered.

        Args:
            port: The port of a server on 127.0.0.1.
            calls: The calls to send, concurrently and equally often.
            seconds: The duration.
            in_flight: The number of requests in flight at any time, in a closed loop.
            per_second: Makes the load an open loop that begins this many requests each second.
            timed: Whether to record the latencies.

        Raises:
            InvalidError: no request was answered, or answers differ from the recorded ones.
        """
        streams = in_flight // len(calls) if per_second is None else _UNBOUNDED
        options = [f"--duration={round(seconds * 1_000)}ms"]
        if per_second is not None:
            options.append(f"--rps={per_second / len(calls):.3f}")
        logs = self._run(port, calls, streams, options, seconds=seconds, timed=timed)
        loads = [_checked(call, log.read_text()) for call, log in zip(calls, logs, strict=True)]
        if not any(load.answered for load in loads):
            raise InvalidError("no request was answered in time")
        return Load(
            sent=sum(load.sent for load in loads),
            answered=sum(load.answered for load in loads),
            per_second=sum(load.per_second for load in loads),
            latencies=sorted(_latencies(logs)) if timed else (),
        )

    @contextmanager
    def flooding(self, port: int, calls: Sequence[Call], seconds: float, *, in_flight: int) -> Iterator[None]:
        """Keep requests in flight during the block, from several connections, with the lowest priority.

        Args:
            port: The port of a server on 127.0.0.1.
            calls: The calls to send, concurrently and equally often.
            seconds: The duration, which must be longer than the block.
            in_flight: The number of requests in flight at any time.

        Raises:
            InvalidError: no request was answered, or answers differ from the recorded ones.
        """
        clients = max(1, in_flight // len(calls) // _FLOOD_STREAMS)
        options = [f"--duration={round(seconds * 1_000)}ms", f"--clients={clients}"]
        logs = [self._folder / f"flood-{number}.log" for number in range(len(calls))]
        streams = in_flight // len(calls) // clients
        with self._started(port, calls, streams, options, logs, prefix=("nice", "-n", "19")) as started:
            yield
            for process in started:
                processes.finish(process, seconds + processes.PATIENCE_SECONDS)
        if not any(_checked(call, log.read_text()).answered for call, log in zip(calls, logs, strict=True)):
            raise InvalidError("no request of the flood was answered")

    def times(self, port: int, calls: Sequence[Call], requests: int) -> None:
        """Repeat calls, each equally often, until ``requests`` were sent.

        Raises:
            InvalidError: answers are missing, or differ from the recorded ones.
        """
        each = -(-requests // len(calls))
        streams, options = IN_FLIGHT // len(calls), [f"--requests={each}"]
        logs = self._run(port, calls, streams, options, seconds=requests / 100, timed=False)
        for call, log in zip(calls, logs, strict=True):
            load = _checked(call, log.read_text())
            if load.answered < each:
                raise InvalidError(f"{load.answered} of {each} requests were answered")

    def _run(
        self,
        port: int,
        calls: Sequence[Call],
        streams: int,
        options: Sequence[str],
        *,
        seconds: float,
        timed: bool,
    ) -> list[Path]:
        """Run one process for each call until all have ended; return their logs."""
        logs = [self._folder / f"h2load-{number}.log" for number in range(len(calls))]
        with self._started(port, calls, streams, options, logs, timed=timed) as started:
            for process in started:
                processes.finish(process, seconds + processes.PATIENCE_SECONDS)
        return logs

    @contextmanager
    def _started(
        self,
        port: int,
        calls: Sequence[Call],
        streams: int,
        options: Sequence[str],
        logs: Sequence[Path],
        *,
        timed: bool = False,
        prefix: Sequence[str] = (),
    ) -> Iterator[list[Popen[str]]]:
        """Run one process for each call during the block."""
        with ExitStack() as stack:
            started = []
            for call, log in zip(calls, logs, strict=True):
                log.write_text("")
                command = [*prefix, *self._command(port, call, streams, log, timed=timed), *options]
                started.append(stack.enter_context(processes.running(command, log)))
            yield started

    def _command(self, port: int, call: Call, streams: int, log: Path, *, timed: bool) -> list[str | Path]:
        body = self._folder / hashlib.sha256(call.request).hexdigest()
        body.write_bytes(struct.pack("!BI", 0, len(call.request)) + call.request)
        command: list[str | Path] = ["h2load", f"--max-concurrent-streams={streams}"]
        command += [f"--header={header}" for header in (*_HEADERS, *call.headers)]
        command.append(f"--data={body}")
        if timed:
            _requests(log).unlink(missing_ok=True)  # h2load appends to the file
            command.append(f"--log-file={_requests(log)}")
        return [*command, f"http://127.0.0.1:{port}{call.method}"]


def _checked(call: Call, output: str) -> Load:
    """Return the load of one process after checking that its answers have the recorded size.

    An error has no body, so it makes the sum too small.
    """
    counts, data, finished = (pattern.search(output) for pattern in (_COUNTS, _DATA, _FINISHED))
    if counts is None or data is None or finished is None:
        raise InvalidError("h2load failed: it could not connect, or was stopped")
    sent, answered, size = int(counts["started"]), int(counts["done"]), len(call.answer) + _FRAME_BYTES
    least = answered * (size - call.answer_varies_bytes)
    most = sent * (size + call.answer_varies_bytes)
    if int(counts["succeeded"]) < answered or not least <= int(data["bytes"]) <= most:
        raise InvalidError(f"not every answer was OK: {data['bytes']} bytes in {answered} answers of {size}")
    seconds = float(finished["time"]) * _SECONDS[finished["unit"]]
    return Load(sent=sent, answered=answered, per_second=answered / seconds)


def _requests(log: Path) -> Path:
    return log.with_suffix(".requests")


def _latencies(logs: Sequence[Path]) -> Iterator[float]:
    for log in logs:
        for line in _requests(log).read_text().splitlines():
            yield int(line.split("\t")[2]) / 1e6
