"""Calls with one answer, of both clients.

In asyncio, those of the methods that are called most go together in one request if they are made in the same
turn of the event loop: under load a request takes more time than what is in it. Nothing waits for that.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from sessionhistory._failures import DETAILS_KEY
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

    Metadata = tuple[tuple[str, str | bytes], ...]
    Request = Message | tuple[Message, ...]
    Connected = Callable[[], Any]  # the generated stub has no types
    MultiCall = Callable[..., grpc.aio.UnaryStreamCall[pb.MultiCallRequest, pb.MultiCallResponse]]
    Options = Sequence[tuple[str, Any]]

# So that the client works on some while the service works on others. The contract allows more.
_MAX_CALLS: Final = 8
# A large request would hold up its neighbours.
_MAX_BYTES: Final = 8 * 1024
_ASK_AGAIN_SECONDS: Final = 60.0

_ENTRIES: Final = {"AppendMessage": "append_message", "GetHistory": "get_history"}
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class AsyncCalls:
    """Makes calls in asyncio.

    Args:
        connected: Returns the stub of the service, or raises what is to be told of a client that is closed.
        options: The channel's. With limits for the size of messages, each call keeps to them alone.
    """

    def __init__(self, connected: Connected, options: Options) -> None:
        self._connected = connected
        self._waiting: dict[Metadata, list[_Call]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        limited = any(name.endswith("_message_length") for name, _ in options)
        self._alone_until = math.inf if limited else 0.0

    async def make(
        self, method: str, request: Request, timeout_seconds: float, metadata: Metadata
    ) -> Message:
        """Make a call, and return its response."""
        stub = self._connected()  # first of all, or calls of several event loops would meet
        entry = _ENTRIES.get(method) if self._alone_until < time.monotonic() else None
        if entry and not isinstance(request, tuple) and request.ByteSize() <= _MAX_BYTES:
            shared = _Call(entry, request, timeout_seconds)
            response = await self._join(shared, metadata)
            if response is not None:
                return response
            stub, timeout_seconds = self._connected(), shared.seconds_left
        response = await getattr(stub, method)(_sent(request), timeout=timeout_seconds, metadata=metadata)
        return cast("Message", response)

    def close(self) -> None:
        """End the requests under way: not every grpcio does that with the channel."""
        for task in self._under_way:
            task.cancel()

    async def _join(self, call: _Call, metadata: Metadata) -> Message | None:
        """Return the response of a call that was made with others; ``None``: it is to be made alone."""
        waiting = self._waiting.get(metadata)
        if waiting is None:
            waiting = self._waiting[metadata] = []
            # After all that run in this turn. In a context of its own: it is not one caller's.
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
        # Where the task was cancelled, or the channel closed, be it before it began.
        together.fail(_error(grpc.StatusCode.CANCELLED, "the request was cancelled"))

    async def _make_together(self, together: _Together, metadata: Metadata) -> None:
        try:
            await together.make(self._connected().MultiCall, metadata)
        except Exception as error:  # noqa: BLE001 - it is not lost: each caller is told, as of a call alone
            if _is_unimplemented(error):
                self._alone_until = time.monotonic() + _ASK_AGAIN_SECONDS
                together.give_back()
            together.fail(error)


class Calls:
    """Makes calls for threads: each alone, so that the channel's options do not matter."""

    def __init__(self, connected: Connected, _options: Options) -> None:
        self._connected = connected

    def close(self) -> None:
        """Do nothing: a channel that is closed ends its calls."""

    def make(self, method: str, request: Request, timeout_seconds: float, metadata: Metadata) -> Message:
        """Make a call, and return its response."""
        call = getattr(self._connected(), method)
        return cast("Message", call(_sent(request), timeout=timeout_seconds, metadata=metadata))


def _sent(request: Request) -> Message | Iterator[Message]:
    return iter(request) if isinstance(request, tuple) else request


class _Call:
    """A call that may be made with others."""

    def __init__(self, entry: str, request: Message, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.entry = entry
        self.request = request
        self.end = loop.time() + timeout_seconds
        self.outcome: asyncio.Future[Message | None] = loop.create_future()
        """The response; ``None``: it is to be made alone."""
        self.together: _Together | None = None

    async def answered(self) -> Message | None:
        """Return the outcome, as soon as it is there, and until the end of its time."""
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
                self.together.leave()


class _Together:
    """Calls in one request; each is forgotten with its outcome."""

    def __init__(self, calls: Sequence[_Call]) -> None:
        self._calls = dict(enumerate(calls))
        self._stream: grpc.aio.UnaryStreamCall[pb.MultiCallRequest, pb.MultiCallResponse] | None = None
        for call in calls:
            call.together = self

    async def make(self, multi_call: MultiCall, metadata: Metadata) -> None:
        self._calls = dict(enumerate(self._open()))
        if not self._calls:
            return
        self._stream = multi_call(self._request(), timeout=self._seconds_left(), metadata=metadata)
        async for response in self._stream:
            for outcome in response.outcomes:
                self._answer(outcome)
        self.fail(_error(grpc.StatusCode.UNAVAILABLE, "the service has not answered one of several calls"))

    def leave(self) -> None:
        """Cancel the request if nobody waits any more for what is in it."""
        if self._stream is not None and not self._open():
            self._stream.cancel()

    def give_back(self) -> None:
        """Have each made alone."""
        for call in self._open():
            call.outcome.set_result(None)

    def fail(self, error: Exception) -> None:
        """Fail those that have no outcome yet."""
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
            return  # newer than this client
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
    """Return a call's own error of what all have failed with: each adds to its traceback."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return error
    return grpc.aio.AioRpcError(
        error.code(), error.initial_metadata(), error.trailing_metadata(), error.details()
    )


def _error(code: grpc.StatusCode, message: str, details: bytes = b"") -> grpc.aio.AioRpcError:
    """Return an error as of a call that was made alone."""
    trailing = grpc.aio.Metadata((DETAILS_KEY, details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def _is_unimplemented(error: Exception) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNIMPLEMENTED
