"""A server with prepared answers, which plays a newer server, a broken one, or a proxy."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from fake_streams import FakeStreams
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

_METHODS = pb.DESCRIPTOR.services_by_name["SessionHistoryService"].methods_by_name


@dataclass(frozen=True)
class Refusal:
    """A status to answer with: its details, or their bytes."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    details: Sequence[Message | Packed] = ()
    serialized: bytes | None = None
    message: str = "not now"
    request_id: str = ""

    @property
    def trailing(self) -> tuple[tuple[str, str | bytes], ...]:
        """The trailing metadata of the answer."""
        serialized = self.serialized
        if serialized is None and self.details:
            status = Status(code=self.code.value[0], message=self.message, details=map(_packed, self.details))
            serialized = status.SerializeToString()
        metadata = {"x-request-id": self.request_id, "grpc-status-details-bin": serialized}
        return tuple((key, value) for key, value in metadata.items() if value not in ("", None))


class Call(NamedTuple):
    """A call of the server: the request, the peer, the time, and the seconds left until its deadline."""

    request: Any
    metadata: dict[str, str | bytes]
    peer: str
    time: float
    seconds_left: float


@dataclass
class FakeServer(grpc.GenericRpcHandler):  # type: ignore[misc] # has no types
    """Answers the calls with the prepared answers in order; then with empty responses.

    An answer is a response, a refusal, or ``None``, which keeps the caller waiting until ``released``.
    It opens no streams of calls, as an older server, unless the test says otherwise.
    """

    answers: list[Message | Refusal | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Peers whose calls are answered with UNAVAILABLE."""
    silent: set[str] = field(default_factory=set)
    """Peers whose calls are not answered."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: int = 0
    """How many calls without an answer their callers have ended."""
    address: str = ""
    streams: FakeStreams = field(default_factory=lambda: FakeStreams(grpc.StatusCode.UNIMPLEMENTED))
    """Streams of calls, whose calls are not among ``calls``."""

    async def start(self) -> grpc.aio.Server:
        """Listen on a free port."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        return server

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of a method."""
        method = _METHODS[details.method.rpartition("/")[2]]
        if method.name == "CallStream":
            return self.streams.handler()
        empty = GetMessageClass(method.output_type)()

        async def answer(request: Message, context: Any) -> Message | None:
            metadata = dict(context.invocation_metadata())
            left = context.time_remaining()
            self.calls.append(Call(request, metadata, context.peer(), time.monotonic(), left))
            if context.peer() in self.refused:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "not here")
            if context.peer() in self.silent:
                await self._keep_waiting()
            answer = self.answers.pop(0) if self.answers else empty
            if isinstance(answer, Refusal):
                await context.abort(answer.code, answer.message, answer.trailing)
            if answer is None:
                await self._keep_waiting()
            return answer or empty

        return grpc.unary_unary_rpc_method_handler(
            answer,
            GetMessageClass(method.input_type).FromString,
            lambda response: response.SerializeToString(),
        )

    async def _keep_waiting(self) -> None:
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


def info(reason: str, domain: str = "sessionhistory.v1", **metadata: str) -> error_details_pb2.ErrorInfo:
    """Return the error detail with the reason."""
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    """Return the error detail with the time until a retry."""
    detail = error_details_pb2.RetryInfo()
    detail.retry_delay.FromMicroseconds(round(seconds * 1e6))
    return detail


def _packed(detail: Message | Packed) -> Packed:
    if isinstance(detail, Packed):
        return detail
    packed = Packed()
    packed.Pack(detail)
    return packed
