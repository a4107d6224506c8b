"""CallStream of a server whose answers the test gives: in the order of the calls, later, or never."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message


class FakeStream:
    """A stream: the messages of the client, and the answers of the test."""

    def __init__(self, context: Any, *, answers_calls: bool) -> None:
        self.peer: str = context.peer()
        self.metadata: dict[str, str | bytes] = dict(context.invocation_metadata())
        self.requests: list[pb.CallStreamRequest] = []
        self.is_half_closed = False
        self.is_over = False
        self._context = context
        self.answers_calls = answers_calls
        self._end: asyncio.Future[grpc.StatusCode] = asyncio.get_running_loop().create_future()

    @property
    def calls(self) -> list[pb.StreamedCall]:
        """The calls in the order in which they have arrived."""
        return [call for request in self.requests for call in request.calls]

    @property
    def groups(self) -> list[list[str]]:
        """The sessions of the calls of each message."""
        return [[asked(call).session_id for call in each.calls] for each in self.requests if each.calls]

    async def answer(self, session_id: str, response: Message | None = None) -> None:
        """Answer the newest call for a session."""
        call = next(each for each in reversed(self.calls) if asked(each).session_id == session_id)
        await self.send(outcome(call, response))

    async def send(self, *outcomes: pb.CallOutcome, ending: bool = False) -> None:
        """Send outcomes in one message."""
        response = pb.CallStreamResponse(outcomes=outcomes)
        if ending:
            response.ending.SetInParent()
        await self._context.write(response)

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        """End the stream."""
        if not self._end.done():
            self._end.set_result(code)

    async def serve(self, *, is_silent: bool) -> None:
        """Read the messages of the client until the stream ends."""
        reading = asyncio.create_task(self._read())
        try:
            if not is_silent:
                await self.send()
            code = await self._end
            if code is not grpc.StatusCode.OK:
                await self._context.abort(code, "over")
        finally:
            self.is_over = True
            reading.cancel()

    async def _read(self) -> None:
        with suppress(asyncio.CancelledError):
            while (request := await self._context.read()) is not grpc.aio.EOF:
                self.requests.append(request)
                if self.answers_calls and request.calls:
                    await self.send(*map(outcome, request.calls))
            self.is_half_closed = True
            if self.answers_calls:
                self.end()


@dataclass
class FakeStreams:
    """The streams of a server."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    """The answer to new streams; other than OK, the server opens none."""
    is_silent: bool = False
    """Whether the first answer is missing."""
    answers_calls: bool = True
    """Whether calls are answered at once, with empty responses."""
    opened: list[FakeStream] = field(default_factory=list)
    attempts: int = 0

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of the method."""
        return grpc.stream_stream_rpc_method_handler(
            self._serve,
            pb.CallStreamRequest.FromString,
            lambda response: response.SerializeToString(),
        )

    async def _serve(self, _: object, context: Any) -> None:
        self.attempts += 1
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, "no streams")
        stream = FakeStream(context, answers_calls=self.answers_calls)
        self.opened.append(stream)
        await stream.serve(is_silent=self.is_silent)


def asked(call: pb.StreamedCall) -> Any:
    """Return the request of a call."""
    return getattr(call, str(call.WhichOneof("request")))


def outcome(call: pb.StreamedCall, response: Message | None = None) -> pb.CallOutcome:
    """Return the outcome of a call: a response, an error, or by default the empty response of its method."""
    made = pb.CallOutcome(number=call.number)
    if isinstance(response, pb.CallError):
        made.error.CopyFrom(response)
        return made
    filled = getattr(made, str(call.WhichOneof("request")))
    filled.SetInParent()
    if response is not None:
        filled.CopyFrom(response)
    return made
