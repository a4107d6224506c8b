"""Send load with a program in Go: calls that are requests of their own, and calls over streams.

The program repeats bytes, as h2load does, which cannot send calls over a stream. It has 8 connections with
one stream each, and each connection makes the calls to all sessions. The load of a given rate is an open
loop, in which calls begin at random times.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from benchmarks import processes
from benchmarks.errors import InvalidError, SkippedError
from benchmarks.load.h2load import IN_FLIGHT, Load
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.servers.calls import Call
    from benchmarks.servers.launch import Server

_SOURCE: Final = processes.ROOT / "benchmarks" / "load" / "go"
_CONNECTIONS: Final = 8
_DEADLINE_SECONDS: Final = 10
_STREAM: Final = f"/{pb.DESCRIPTOR.services_by_name['SessionHistoryService'].full_name}/CallStream"


class GrpcLoad:
    """A runner of the program, which it builds on first use.

    Args:
        folder: A folder for the program, its plan and its log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "grpc-load.log"

    def for_seconds(
        self,
        server: Server,
        calls: Sequence[Call],
        seconds: float,
        *,
        over_streams: bool,
        per_second: float | None = None,
    ) -> Load:
        """Repeat calls of one method for ``seconds``; return the load with its latencies.

        Args:
            server: The server.
            calls: The calls to make, equally often.
            seconds: The duration.
            over_streams: Whether the calls are made over streams.
            per_second: Makes the load an open loop that begins this many calls each second.

        Raises:
            SkippedError: Go is not installed.
            InvalidError: a call failed, an answer has another size than the recorded one, or none came.
        """
        plan = {
            "address": f"127.0.0.1:{server.port}",
            "headers": dict(header.split(": ", 1) for header in calls[0].headers),
            "calls": [_planned(call, over_streams=over_streams) for call in calls],
            "method": _STREAM if over_streams else calls[0].method,
            "fields": _fields(calls[0]) if over_streams else None,
            "connections": _CONNECTIONS,
            "in_flight": IN_FLIGHT,
            "seconds": seconds,
            "per_second": per_second or 0,
        }
        outcome = self._run(plan, seconds)
        if not outcome["latencies"]:
            raise InvalidError("no call was answered in time")
        return Load(
            sent=outcome["answered"],
            answered=outcome["answered"],
            per_second=outcome["per_second"],
            latencies=sorted(outcome["latencies"]),
        )

    def _run(self, plan: dict[str, Any], seconds: float) -> Any:  # noqa: ANN401 - JSON
        file = self._folder / "plan.json"
        file.write_text(json.dumps(plan))
        with processes.running([self._program, file], self._log, pipes=True) as process:
            output, _ = process.communicate(timeout=seconds + processes.PATIENCE_SECONDS)
        if process.returncode:
            raise InvalidError(f"the load failed: {processes.last_line(self._log)}")
        return json.loads(output)

    @cached_property
    def _program(self) -> Path:
        go, built = shutil.which("go"), self._folder / "grpc-load"
        if go is None:
            raise SkippedError("Go is not installed, which builds the load over streams")
        command: list[str | Path] = [go, "build", "-buildvcs=false", "-o", built, "."]
        made = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, check=False)
        if made.returncode:
            raise InvalidError(f"go build failed: {made.stderr.strip()}")
        return built


def _planned(call: Call, *, over_streams: bool) -> dict[str, Any]:
    request = _streamed(call) if over_streams else call.request
    return {
        "request": base64.b64encode(request).decode(),
        "least_bytes": len(call.answer) - call.answer_varies_bytes,
        "most_bytes": len(call.answer) + call.answer_varies_bytes,
    }


def _streamed(call: Call) -> bytes:
    """Return the call of a stream without its number, which the program appends."""
    streamed = pb.StreamedCall()
    streamed.timeout.seconds = _DEADLINE_SECONDS
    request = getattr(streamed, _request_field(call).name)
    request.SetInParent()
    request.MergeFromString(call.request)
    return streamed.SerializeToString()


def _fields(call: Call) -> dict[str, int]:
    """Return the numbers of the fields that the program reads and writes."""
    return {
        "calls": pb.CallStreamRequest.CALLS_FIELD_NUMBER,
        "number": pb.StreamedCall.NUMBER_FIELD_NUMBER,
        "outcomes": pb.CallStreamResponse.OUTCOMES_FIELD_NUMBER,
        "outcome_number": pb.CallOutcome.NUMBER_FIELD_NUMBER,
        "answer": pb.CallOutcome.DESCRIPTOR.fields_by_name[_request_field(call).name].number,
    }


def _request_field(call: Call) -> Any:  # noqa: ANN401 - a descriptor
    name = f"{call.method.rsplit('/', 1)[1]}Request"
    fields = pb.StreamedCall.DESCRIPTOR.oneofs_by_name["request"].fields
    return next(field for field in fields if field.message_type and field.message_type.name == name)
