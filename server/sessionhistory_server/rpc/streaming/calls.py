"""The calls of one stream that are in progress: their bounds, their order and their deadlines."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from sessionhistory_server.errors import not_begun_in_time, stream_full
from sessionhistory_server.limits import MAX_STREAM_BYTES, MAX_STREAM_CALLS, MAX_STREAM_CALLS_OF_SESSION
from sessionhistory_server.rpc.streaming.session_order import SessionOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sessionhistory_server.call_context import CallContext
    from sessionhistory_server.call_order import OrderedCall
    from sessionhistory_server.errors import SessionHistoryError
    from sessionhistory_server.rpc.dispatch import Method


class Received:
    """A message of the caller. It is in memory as long as one of its calls is in progress."""

    __slots__ = ("at", "calls", "size")

    def __init__(self, size: int, calls: int) -> None:
        self.size = size
        self.calls = calls
        """Those in progress."""
        self.at = time.monotonic()


class StreamedCall:
    """A call of a stream.

    Args:
        number: The number that the caller gave it.
        kind: The field of the request and of the response.
        method: The method.
        request: The request.
        context: The context, with the request id and the deadline.
        received: The message in which it has arrived.
    """

    __slots__ = (
        "context",
        "ends_group",
        "group",
        "has_begun",
        "has_ended",
        "is_late",
        "is_ordered",
        "kind",
        "method",
        "number",
        "received",
        "refusal",
        "request",
        "reserved",
        "session_id",
        "task",
    )

    def __init__(
        self,
        number: int,
        kind: str,
        method: Method,
        request: Any,  # noqa: ANN401 - of that method
        context: CallContext,
        received: Received,
    ) -> None:
        self.number = number
        self.kind = kind
        self.method = method
        self.request = request
        self.context = context
        self.received = received
        self.group: str | None = None
        """Its group in the order of its session; ``None``: it must be alone."""
        self.ends_group = False
        self.session_id: str = request.session_id
        self.refusal: SessionHistoryError | None = None
        """The error that it gets without being made."""
        self.is_ordered = False
        """Whether the order of its session knows it."""
        self.has_begun = False
        self.has_ended = False
        """Whether it was made. Its outcome may have to wait."""
        self.is_late = False
        """Whether its deadline has passed, which ends it."""
        self.reserved = 0
        """The bytes that are reserved for its response."""
        self.task: asyncio.Task[None] | None = None
        """``None``: it waits for earlier calls of its session."""

    @property
    def is_timed(self) -> bool:
        """Whether its deadline may still end it."""
        return not (self.is_late or self.has_ended)

    @property
    def order(self) -> OrderedCall | None:
        """Its place among the appends of its group."""
        return self.context.order

    @order.setter
    def order(self, order: OrderedCall | None) -> None:
        self.context.order = order


class StreamCalls:
    """The calls of one stream.

    Args:
        make: Makes a call, and then reports its end by ``ended`` and its outcome by ``answered``.
        unordered: Whether calls of the same session may be made in any order.
    """

    def __init__(self, make: Callable[[StreamedCall], Coroutine[Any, Any, None]], *, unordered: bool) -> None:
        self._make = make
        self._order = None if unordered else SessionOrder(self._begin)
        self._calls: dict[int, StreamedCall] = {}
        self._bytes = 0
        self._refusal: SessionHistoryError | None = None
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def __contains__(self, number: int) -> bool:
        """Return whether a call with this number is in progress."""
        return number in self._calls

    def __len__(self) -> int:
        """Return the number of calls in progress, those included that wait."""
        return len(self._calls)

    def has_room(self, waiting_outcomes: int) -> bool:
        """Return whether the stream may read more."""
        return len(self._calls) + waiting_outcomes < MAX_STREAM_CALLS and self._bytes < MAX_STREAM_BYTES

    def are_made(self) -> bool:
        """Return whether no call is in progress but refused ones."""
        return all(call.refusal is not None for call in self._calls.values())

    def notify(self) -> None:
        """Let ``until`` examine its condition again."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. It may change with the calls."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def receive(self, received: Received) -> None:
        """Count a message whose calls follow."""
        if received.calls:
            self._bytes += received.size

    def add(self, call: StreamedCall) -> None:
        """Begin a call, now or when earlier calls of its session have ended."""
        self._calls[call.number] = call
        if call.context.deadline < self._timer_at:
            self._set_timer(call.context.deadline)
        if call.refusal is None:
            call.refusal = self._refusal
        if self._order is not None and call.session_id and call.refusal is None:
            if self._order.has_room(call.session_id):
                call.is_ordered = True
                self._order.add(call)
                return
            call.refusal = stream_full(MAX_STREAM_CALLS_OF_SESSION)
        self._begin(call)

    def ended(self, call: StreamedCall) -> None:
        """Note that a call was made. The next ones of its session may begin."""
        call.has_ended = True
        if call.context.order is not None:
            call.context.order.end()
        if call.is_ordered and self._order is not None:
            self._order.end(call)

    def answered(self, call: StreamedCall) -> None:
        """Note that the outcome of a call is ready. Its number may be used again."""
        del self._calls[call.number]
        self.release(call.received)
        self._changed.set()

    def release(self, received: Received) -> None:
        """Note that one of the calls of a message is no longer in progress."""
        received.calls -= 1
        if not received.calls:
            self._bytes -= received.size

    def refuse(self, error: SessionHistoryError, *, waiting: bool = False) -> None:
        """Refuse the calls that arrive from now on, and also those that wait if asked to."""
        self._refusal = error
        refused = [call for call in self._calls.values() if waiting and call.task is None]
        for call in refused:  # all before the first is removed: then the ones behind it may begin
            call.refusal = error
        for call in refused:
            if call.task is None:
                self._give_up(call, error)

    def cancel(self) -> None:
        """Cancel all calls, because the stream is broken. Waiting calls never begin."""
        if self._timer is not None:
            self._timer.cancel()
        # In one go: a call behind a cancelled one must not begin.
        self._order = None
        for call in self._calls.values():
            if call.task is not None:
                call.task.cancel()

    def _begin(self, call: StreamedCall) -> None:
        call.task = asyncio.create_task(self._make(call))

    def _give_up(self, call: StreamedCall, error: SessionHistoryError) -> None:
        """Refuse a call that waits."""
        call.refusal = error
        call.is_ordered = False
        if self._order is not None:
            self._order.remove(call)
        self._begin(call)

    def _set_timer(self, deadline: float) -> None:
        """Examine the deadlines at the earliest one. One timer for all costs a call next to nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        seconds = max(0.0, deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end_late_calls)

    def _end_late_calls(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = time.monotonic()
        for call in list(self._calls.values()):
            if call.context.deadline <= now and call.is_timed:
                call.is_late = True
                self._end_late(call)
        due = (call.context.deadline for call in self._calls.values() if call.is_timed)
        earliest = min(due, default=math.inf)
        if earliest < math.inf:
            self._set_timer(earliest)

    def _end_late(self, call: StreamedCall) -> None:
        if call.task is None:
            self._give_up(call, not_begun_in_time())
        elif not call.has_begun:
            call.refusal = call.refusal or not_begun_in_time()
        else:
            call.task.cancel()
