"""Recorded calls: the bytes on the wire, which the load repeats."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import grpc
    from google.protobuf.message import Message

_SERVICE = pb.DESCRIPTOR.services_by_name["SessionHistoryService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request and its answer.

    ``answer_varies_bytes`` is the number of bytes by which another answer to the same request may be shorter
    or longer. Numbers grow, and times have more or fewer digits.
    """

    method: str
    request: bytes
    answer: bytes
    answer_varies_bytes: int = 0
    headers: tuple[str, ...] = ()
    """Further headers of the request, such as a credential."""


EMPTY = Call(method="/benchmarks.Ceiling/Nothing", request=b"", answer=b"")


def record(
    channel: grpc.Channel, request: Message, *, key: str | None = None, answer_varies_bytes: int = 0
) -> tuple[Call, Any]:
    """Make a call, with an API key if one is given; return the recorded call and the parsed answer."""
    name = type(request).__name__.removesuffix("Request")
    method = f"/{_SERVICE.full_name}/{name}"
    sent = request.SerializeToString()
    ask: Any = channel.unary_unary(method)
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    answer: bytes = ask(sent, metadata=metadata)
    call = Call(
        method=method,
        request=sent,
        answer=answer,
        answer_varies_bytes=answer_varies_bytes,
        headers=tuple(map(": ".join, metadata)),
    )
    return call, getattr(pb, f"{name}Response").FromString(answer)


def write_answers(path: Path, calls: Iterable[Call]) -> None:
    """Write the table of answers that the ceiling reads."""
    path.write_text(json.dumps([[call.method, call.request.hex(), call.answer.hex()] for call in calls]))
