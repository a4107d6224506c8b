"""Calls with one response, several in one request. This is for asyncio only: threads have no event loop.

Calls of the two most frequent methods that begin in the same turn of the event loop share a request,
``MultiCall``. Under load a request costs more time than the calls in it. No call waits for others.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from sessionhistory._async.calls import AsyncCalls
from sessionhistory._transport.failures import DETAILS_KEY
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from sessionhistory._async.calls import Request
    from sessionhistory._async.connections import AsyncConnections
    from sessionhistory._transport.options import Metadata

    MultiStream = grpc.aio.UnaryStreamCall[pb.MultiCallRequest, pb.MultiCallResponse]
    MultiCall = Callable[..., MultiStream]

# The contract allows more. With a few, the client works on some calls while the service works on others.
_MAX_CALLS: Final = 8
# A large call would delay the others in its request.
_MAX_BYTES: Final = 8 * 1024
_ASK_AGAIN_SECONDS: Final = 60.0

_ENTRIES: Final = {"AppendMessage": "append_message", "GetHistory": "get_history"}
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GroupedCalls(AsyncCalls):
    """The calls of a client, several in one request if possible.

    Args:
        connections: The connections to make them on.
        options: The options of the channels. If they limit the size of messages, every call is made alone,
            because the limits are for one call.
    """

    def __init__(self, connections: AsyncConnections, options: Sequence[tuple[str, Any]]) -> None:
        super().__init__(connections, options)
        self._waiting: dict[Metadata, list[_Call]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        limited = any(name.endswith("_message_length") for name, _ in options)
        self._alone_until = math.inf if limited else 0.0

    async def make(
        self, method: str, request: Request, timeout_seconds: float, metadata: Metadata
    ) -> Message:
        """Make a call, and return its response."""
        self._connections.require_open()  # else calls of several event loops could share a request
        entry = _ENTRIES.get(method) if self._alone_until < time.monotonic() else None
        if entry and not isinstance(request, tuple) and request.ByteSize() <= _MAX_BYTES:
            shared = _Call(entry, request, timeout_seconds)
            response = await self._join(shared, metadata)
            if response is not None:
                return response
            timeout_seconds = shared.seconds_left
        return await super().make(method, request, timeout_seconds, metadata)

    def close(self) -> None:
        """End the current requests. Not every release of grpcio ends them with the channel."""
        for task in self._under_way:
            task.cancel()

    async def _join(self, call: _Call, metadata: Metadata) -> Message | None:
        """Return the response of a call that shares a request; ``None``: make the call alone."""
        waiting = self._waiting.get(metadata)
        if waiting is None:
            waiting = self._waiting[metadata] = []
            # It runs after all callbacks of this turn, in an empty context, because the request has several
            # callers.
            asyncio.get_running_loop().call_soon(self._send, metadata, context=Context())
        waiting.append(call)
        return await call.answered()

    def _send(self, metadata: Metadata) -> None:
        waiting = [call for call in self._waiting.pop(metadata) if not call.outcome.done()]
        for first in range(0, len(waiting), _MAX_CALLS):
            calls = waiting[first : first + _MAX_CALLS]
            if len(calls) == 1:
                calls[0].outcome.set_result(None)
                continue
            together = _Together(calls)
            task = asyncio.create_task(self._make_together(together, metadata))
            self._under_way.add(task)
            task.add_done_callback(partial(self._forget, together))

    def _forget(self, together: _Together, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        # This has an effect if the task was cancelled or the channel closed, possibly before the task began.
        together.fail(_error(grpc.StatusCode.CANCELLED, "the request was cancelled"))

    async def _make_together(self, together: _Together, metadata: Metadata) -> None:
        try:
            with self._connections.lend(together.size) as stub:
                await together.make(stub.MultiCall, metadata)
        except Exception as error:  # noqa: BLE001 - each caller gets the error, as from a separate call
            if _is_unimplemented(error):
                self._alone_until = time.monotonic() + _ASK_AGAIN_SECONDS
                together.give_back()
            together.fail(error)


class _Call:
    """A call that may share a request with others."""

    def __init__(self, entry: str, request: Message, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.entry = entry
        self.request = request
        self.end = loop.time() + timeout_seconds
        self.outcome: asyncio.Future[Message | None] = loop.create_future()
        """The response; ``None``: the call has to be made alone."""
        self.together: _Together | None = None

    async def answered(self) -> Message | None:
        """Wait for the outcome until the deadline of the call, and return it."""
        timer = self.outcome.get_loop().call_at(self.end, self._expire)
        try:
            return await self.outcome
        finally:
            timer.cancel()
            together, self.together = self.together, None
            if together and self.outcome.cancelled():
                together.leave()

    @property
    def seconds_left(self) -> float:
        return max(self.end - self.outcome.get_loop().time(), 0.0)

    def _expire(self) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(_error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))
            if self.together:
                self.together.leave(late=True)


class _Together:
    """The calls of one request. A call is removed when its outcome arrives."""

    def __init__(self, calls: Sequence[_Call]) -> None:
        self._calls = dict(enumerate(calls))
        self._stream: MultiStream | None = None
        self._late = False
        for call in calls:
            call.together = self

    @property
    def size(self) -> int:
        """The number of remaining calls."""
        return len(self._calls)

    async def make(self, multi_call: MultiCall, metadata: Metadata) -> None:
        self._calls = dict(enumerate(self._open()))
        if not self._calls:
            return
        self._stream = multi_call(self._request(), timeout=self._seconds_left(), metadata=metadata)
        try:
            await self._receive(self._stream)
        except asyncio.CancelledError:
            if self._late:
                raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
            raise
        self.fail(_error(grpc.StatusCode.UNAVAILABLE, "the service has not answered one of several calls"))

    def leave(self, *, late: bool = False) -> None:
        """Cancel the request if no caller waits for it.

        Args:
            late: The last caller gave up because its deadline passed.
        """
        if self._stream is not None and not self._open():
            self._late = late
            self._stream.cancel()

    async def _receive(self, stream: MultiStream) -> None:
        async for response in stream:
            for outcome in response.outcomes:
                self._answer(outcome)

    def give_back(self) -> None:
        """Let the remaining callers make their calls alone."""
        for call in self._open():
            call.outcome.set_result(None)

    def fail(self, error: Exception) -> None:
        """Fail the calls that have no outcome yet."""
        for call in self._open():
            call.outcome.set_exception(_own(error))

    def _request(self) -> pb.MultiCallRequest:
        request = pb.MultiCallRequest()
        for call in self._calls.values():
            getattr(request.calls.add(), call.entry).CopyFrom(call.request)
        return request

    def _seconds_left(self) -> float:
        return max(call.seconds_left for call in self._calls.values())

    def _open(self) -> list[_Call]:
        return [call for call in self._calls.values() if not call.outcome.done()]

    def _answer(self, outcome: pb.MultiCallOutcome) -> None:
        kind = outcome.WhichOneof("outcome")
        if kind is None:
            return  # the kind of the outcome is newer than this client
        call = self._calls.pop(outcome.index, None)
        if call is None or call.outcome.done():
            return
        if kind == "error":
            call.outcome.set_exception(_refusal(outcome.error))
        else:
            call.outcome.set_result(getattr(outcome, kind))


def _refusal(serialized: bytes) -> grpc.aio.AioRpcError:
    try:
        status = Status.FromString(serialized)
    except DecodeError:
        return _error(grpc.StatusCode.UNKNOWN, "the service's error cannot be read")
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, serialized)


def _own(error: Exception) -> Exception:
    """Return a copy of the error that all calls fail with: each caller adds to the traceback of its copy."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return error
    return grpc.aio.AioRpcError(
        error.code(), error.initial_metadata(), error.trailing_metadata(), error.details()
    )


def _error(code: grpc.StatusCode, message: str, details: bytes = b"") -> grpc.aio.AioRpcError:
    """Return the error that a call made alone would raise."""
    trailing = grpc.aio.Metadata((DETAILS_KEY, details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def _is_unimplemented(error: Exception) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNIMPLEMENTED
