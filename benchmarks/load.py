"""Load from h2load.

It takes a fifth of a core for 4,000 requests a second, where a client that encodes messages would take as
much as the server. It knows nothing of gRPC: a request is a body from a file, and that an answer is OK shows
in its bytes, of which an error has none. At a given rate it is an open loop: a request begins when its time
has come, however many are under way, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import processes
from benchmarks.measuring import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.calls import Call

IN_FLIGHT: Final = 64

# With a deadline, as clients should; it is far above what any call takes.
_HEADERS: Final = ("content-type: application/grpc", "te: trailers", "grpc-timeout: 10S")
_FRAME_BYTES: Final = 5
# So many that an open loop never waits for a free one.
_UNBOUNDED: Final = 1_000
_COUNTS: Final = re.compile(
    r"requests: \d+ total, (?P<started>\d+) started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded"
)
_FINISHED: Final = re.compile(r"finished in (?P<time>[0-9.]+)(?P<unit>us|ms|s), ")
_SECONDS: Final = {"s": 1, "ms": 1e-3, "us": 1e-6}
_DATA: Final = re.compile(r"\((?P<bytes>\d+)\) data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was sent and answered, and how fast; each latency in seconds, ascending, if asked for."""

    sent: int
    answered: int
    per_second: float
    latencies: Sequence[float] = ()

    def quantile(self, share: float) -> float:
        """Return the latency that a share of the answers did not exceed, in seconds."""
        return self.latencies[int(share * (len(self.latencies) - 1))]


def is_installed() -> bool:
    """Tell whether there is an h2load."""
    return shutil.which("h2load") is not None


class H2load:
    """Runs h2load, one process for each call: a process has one body to send."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def for_seconds(
        self,
        port: int,
        calls: Sequence[Call],
        seconds: float,
        *,
        in_flight: int = IN_FLIGHT,
        connections_each: int = 1,
        per_second: float | None = None,
        timed: bool = False,
    ) -> Load:
        """Repeat calls for a while; those still under way at its end are sent and not answered.

        Args:
            port: Of a server on 127.0.0.1.
            calls: What to send, all at once and equally often.
            seconds: How long.
            in_flight: How many requests there are at any time, in a closed loop.
            connections_each: How many connections send the same call.
            per_second: Open loop instead: so many requests begin each second, whatever is under way.
            timed: Whether to keep each latency.

        Raises:
            InvalidError: there were no answers, or others than those recorded.
        """
        connections = len(calls) * connections_each
        streams = in_flight // connections if per_second is None else _UNBOUNDED
        options = [f"--duration={round(seconds * 1_000)}ms", f"--clients={connections_each}"]
        if per_second is not None:
            options.append(f"--rps={per_second / connections:.3f}")
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

    def times(self, port: int, calls: Sequence[Call], requests: int) -> None:
        """Repeat calls, each as often, until there were so many requests.

        Raises:
            InvalidError: there were other answers than those recorded, or fewer.
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
        """Run one process for each call until all have ended; return what they said."""
        logs = [self._folder / f"h2load-{number}.log" for number in range(len(calls))]
        with ExitStack() as stack:
            started = []
            for call, log in zip(calls, logs, strict=True):
                log.write_text("")
                command = self._command(port, call, streams, log, timed=timed)
                started.append(stack.enter_context(processes.running([*command, *options], log)))
            for process in started:
                processes.finish(process, seconds + processes.PATIENCE_SECONDS)
        return logs

    def _command(self, port: int, call: Call, streams: int, log: Path, *, timed: bool) -> list[str | Path]:
        body = self._folder / hashlib.sha256(call.request).hexdigest()
        body.write_bytes(struct.pack("!BI", 0, len(call.request)) + call.request)
        command: list[str | Path] = ["h2load", f"--max-concurrent-streams={streams}"]
        command += [f"--header={header}" for header in _HEADERS]
        command.append(f"--data={body}")
        if timed:
            _requests(log).unlink(missing_ok=True)  # h2load adds to what there is
            command.append(f"--log-file={_requests(log)}")
        return [*command, f"http://127.0.0.1:{port}{call.method}"]


def _checked(call: Call, output: str) -> Load:
    """Return what a process has done, if every answer was as recorded: an error has no bytes."""
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
