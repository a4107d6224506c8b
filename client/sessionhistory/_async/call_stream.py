"""A stream of calls on one connection, from its opening to its end. This is for asyncio only."""

from __future__ import annotations

import asyncio
import itertools
from contextvars import Context
from typing import TYPE_CHECKING, Final, cast

import grpc
import grpc.aio

from sessionhistory._transport.outcomes import HEADER, add, answer, failed
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.message import Message

    from sessionhistory._async.connections import AsyncConnections
    from sessionhistory._transport.options import Metadata

    Outcome = asyncio.Future[Message | None]

_FIRST_ANSWER_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 10.0
# So long after the deadline of a call, or after the last outcome, the service has nothing more to send.
_OVERDUE_SECONDS: Final = 5.0

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_NUMBERS: Final = 2**32


class CallStream:
    """A stream that takes calls, and returns their outcomes.

    Args:
        connections: The connections of the client. The stream uses one of them.
        metadata: The metadata of all its calls.
        ended: Called once, when the stream has ended.
    """

    def __init__(
        self, connections: AsyncConnections, metadata: Metadata, ended: Callable[[CallStream], None]
    ) -> None:
        self.metadata: Final = metadata
        self.was_open = False
        """Whether the service has answered. Until then the stream takes no calls."""
        self.is_open = False
        """Whether the stream takes calls."""
        self.error: grpc.aio.AioRpcError | None = None
        """The reason if the stream has failed."""
        self._connections = connections
        self.connection: Final = connections.take_for_call_stream()
        self._ended = ended
        self._is_retired = False
        self._unsent: list[_Call] = []
        self._sent: dict[int, _Call] = {}
        self._numbers = itertools.cycle(range(_NUMBERS))
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._used_at = self._loop.time()
        self._timer = self._loop.call_later(_FIRST_ANSWER_SECONDS, self._give_up_opening)
        self._call: grpc.aio.StreamStreamCall[pb.CallStreamRequest, pb.CallStreamResponse]
        self._call = self.connection.stub.CallStream(metadata=metadata)
        # The context is empty, because the stream has several callers.
        self._writing = self._loop.create_task(self._write(), context=Context())
        self._reading = self._loop.create_task(self._read(), context=Context())

    @property
    def calls(self) -> int:
        """The number of calls in progress, including those whose callers no longer wait."""
        return len(self._unsent) + len(self._sent)

    def rank(self) -> tuple[bool, int]:
        """Return the sort key: the next call uses the stream with the lowest one."""
        return self.connection.is_avoided, self.calls

    @property
    def age_seconds(self) -> float:
        """How long ago the stream began to open."""
        return self._loop.time() - self._opened_at

    def make(self, field: str, request: Message, seconds: float, request_id: str) -> Outcome:
        """Make a call, and return its future response; ``None``: the call had no effect."""
        self._used_at = now = self._loop.time()
        call = _Call(field, request, request_id, now + seconds, self.connection.answers)
        self._unsent.append(call)
        self._news.set()
        if call.end < self._timer.when():
            self._check_at(call.end)
        return call.outcome

    def retire(self) -> None:
        """Take no more calls, and end the stream when those in progress are answered."""
        if not self._is_retired:
            self.is_open, self._is_retired = False, True
            unsent, self._unsent = self._unsent, []
            _give_back(unsent)
            self._news.set()
            self._check_at(self._loop.time() + _OVERDUE_SECONDS)

    def close(self) -> None:
        """End the stream at once; its calls fail, because the client is closed."""
        self._fail(grpc.StatusCode.CANCELLED, "the client is closed")
        self._call.cancel()

    async def _write(self) -> None:
        """Send calls. Those that come while gRPC takes a message share the next one."""
        try:
            await self._call.write(HEADER)
            while not self._is_retired:
                await self._news.wait()
                self._news.clear()
                while request := self._next_request():
                    await self._call.write(request)
            await self._call.done_writing()
        except Exception:  # noqa: BLE001 - the stream has ended, and its reader learns why
            self._call.cancel()

    async def _read(self) -> None:
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                self._take(cast("pb.CallStreamResponse", response))
            _give_back(self._sent.values())  # a service that ends the stream in order has read none of them
        except grpc.aio.AioRpcError as error:
            self.error = error
            self.connection.failed(error)
        except asyncio.CancelledError:
            pass  # the call or this task was cancelled; the callers were not
        finally:
            self._finish()

    def _finish(self) -> None:
        self._timer.cancel()
        self._writing.cancel()
        self._call.cancel()
        reason = f": {self.error.details()}" if self.error else ""
        self._fail(grpc.StatusCode.UNAVAILABLE, f"the stream of the call has ended{reason}")
        self.connection.has_call_stream = False
        self._ended(self)

    def _fail(self, code: grpc.StatusCode, message: str) -> None:
        """Fail the calls that may have been made, and give back the others."""
        self.is_open = False
        for call in self._sent.values():
            if not call.outcome.done():
                call.outcome.set_exception(failed(code, message))
        _give_back(self._unsent)

    def _next_request(self) -> pb.CallStreamRequest | None:
        """Return the next calls in one message, without those whose callers no longer wait."""
        request = pb.CallStreamRequest()
        size, taken, now = 0, 0, self._loop.time()
        for call in self._unsent:
            taken += 1
            if not call.outcome.done():
                number = next(self._numbers)
                self._sent[number] = call
                size += add(request, number, call.field, call.request, call.end - now, call.request_id)
                if size >= _MAX_MESSAGE_BYTES:
                    break
        del self._unsent[:taken]
        return request if size else None

    def _take(self, response: pb.CallStreamResponse) -> None:
        self.connection.answers += 1
        for outcome in response.outcomes:
            call = self._sent.pop(outcome.number, None)
            if call and not call.outcome.done() and (error := answer(call.outcome, outcome)):
                self.connection.failed(error)
        if response.HasField("ending"):
            self.retire()
        if not self.was_open:
            self.was_open, self.is_open = True, not self._is_retired
            self._check()

    def _give_up_opening(self) -> None:
        self.error = failed(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream has no first answer")
        self._call.cancel()

    def _check_at(self, when: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        """Fail the calls whose deadline has passed, and end a stream that is idle or does not answer."""
        now = self._loop.time()
        calls = (*self._sent.values(), *self._unsent)
        for call in calls:
            if call.end <= now:
                self._expire(call)
        idle_at = self._used_at + _IDLE_SECONDS
        if self._is_retired and not calls:
            self._call.cancel()
        elif not calls and idle_at <= now:
            self.retire()
        else:
            self._check_at(min((call.end for call in calls), default=idle_at))

    def _expire(self, call: _Call) -> None:
        if call.is_overdue:
            self._call.cancel()
        call.is_overdue = True
        call.end += _OVERDUE_SECONDS
        if not call.outcome.done():
            call.outcome.set_exception(failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))
            if self.connection.answers == call.answers_before:
                self._connections.give_up(self.connection)
                self.retire()


class _Call:
    """A call of a stream."""

    __slots__ = ("answers_before", "end", "field", "is_overdue", "outcome", "request", "request_id")

    def __init__(
        self, field: str, request: Message, request_id: str, end: float, answers_before: int
    ) -> None:
        self.field = field
        self.request = request
        self.request_id = request_id
        self.end = end
        self.outcome: Outcome = asyncio.get_running_loop().create_future()
        self.answers_before = answers_before
        """How many messages the connection had brought when the call began."""
        self.is_overdue = False


def _give_back(calls: Iterable[_Call]) -> None:
    """Let the callers make their calls in another way."""
    for call in calls:
        if not call.outcome.done():
            call.outcome.set_result(None)
