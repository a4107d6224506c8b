"""The bounds and the deadlines of the calls of one stream, without a server."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.errors import stream_ending
from sessionhistory_server.limits import MAX_STREAM_BYTES, MAX_STREAM_CALLS
from sessionhistory_server.rpc.streaming.calls import Received, StreamCalls, StreamedCall

_NO_METHOD: Any = None


class _Made:
    """Calls that end when a test says so."""

    def __init__(self, *, unordered: bool = False) -> None:
        self.calls = StreamCalls(self._make, unordered=unordered)
        self.begun: list[int] = []
        self.late: list[int] = []
        self.refused: list[int] = []
        self.go_on = asyncio.Event()

    async def _make(self, call: StreamedCall) -> None:
        call.has_begun = True
        self.begun.append(call.number)
        if call.refusal is not None:
            self.refused.append(call.number)
        else:
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.late.append(call.number)
        self.calls.ended(call)
        self.calls.answered(call)

    def add(self, number: int, received: Received, *, seconds: float = math.inf, session: str = "s") -> None:
        """Add a call of a message, which must be alone in its session."""
        context = CallContext("id", "UpdateState", received.at + seconds)
        request = pb.UpdateStateRequest(session_id=session)
        self.calls.add(StreamedCall(number, "update_state", _NO_METHOD, request, context, received))

    async def until_none_left(self) -> None:
        """Wait until no call is in progress."""
        await asyncio.wait_for(self.calls.until(lambda: not len(self.calls)), 30)


async def test_a_message_counts_until_its_last_call_has_ended() -> None:
    """The bytes of a message are held as long as one of its calls is in progress."""
    made = _Made(unordered=True)
    large = Received(MAX_STREAM_BYTES, 2)
    made.calls.receive(large)
    made.add(1, large)
    made.calls.release(large)
    assert not made.calls.has_room(0)
    made.go_on.set()
    await made.until_none_left()
    assert made.calls.has_room(0)


async def test_a_message_without_calls_counts_nothing() -> None:
    """It is in memory no longer than until the next one is read."""
    made = _Made()
    made.calls.receive(Received(MAX_STREAM_BYTES, 0))
    assert made.calls.has_room(0)


async def test_outcomes_that_wait_take_room() -> None:
    """A caller that does not read outcomes cannot begin more calls."""
    made = _Made(unordered=True)
    received = Received(1, MAX_STREAM_CALLS - 1)
    for number in range(MAX_STREAM_CALLS - 1):
        made.add(number, received)
    assert made.calls.has_room(0)
    assert not made.calls.has_room(1)
    made.go_on.set()
    await made.until_none_left()
    assert not made.calls.has_room(MAX_STREAM_CALLS)


async def test_deadlines_in_any_order() -> None:
    """Each call ends at its own deadline, also a call with an earlier deadline that comes later."""
    made = _Made(unordered=True)
    received = Received(1, 4)
    for number, seconds in enumerate((0.05, 60, 0.02, 0.0)):
        made.add(number, received, seconds=seconds)
    await asyncio.wait_for(made.calls.until(lambda: len(made.calls) == 1), 30)
    assert sorted([*made.late, *made.refused]) == [0, 2, 3]
    assert 1 in made.calls
    made.calls.cancel()
    await made.until_none_left()


async def test_a_late_call_makes_room_for_the_calls_behind_it() -> None:
    """A call that waits gives up at its deadline, and the next one of its session begins in its turn."""
    made = _Made()
    received = Received(1, 3)
    made.add(1, received)
    made.add(2, received, seconds=0.02)
    made.add(3, received)
    await asyncio.wait_for(made.calls.until(lambda: made.refused), 30)
    assert made.begun == [1, 2]
    made.go_on.set()
    await made.until_none_left()
    assert made.begun == [1, 2, 3]
    assert made.refused == [2]


async def test_a_refusal_of_the_calls_that_wait() -> None:
    """Calls that have begun go on, and calls that wait or arrive later are refused."""
    made = _Made()
    received = Received(1, 4)
    made.add(1, received)
    made.add(2, received)
    made.calls.refuse(stream_ending(), waiting=True)
    made.add(3, received, session="other")
    await asyncio.wait_for(made.calls.until(lambda: len(made.calls) == 1), 30)
    assert made.calls.are_made() is False
    made.go_on.set()
    await made.until_none_left()
    assert made.refused == [2, 3]


async def test_cancelled_calls_let_no_other_begin() -> None:
    """If the stream breaks, calls that wait never begin."""
    made = _Made()
    received = Received(1, 2)
    made.add(1, received)
    made.add(2, received)
    await asyncio.sleep(0)  # the first call begins
    made.calls.cancel()
    await asyncio.wait_for(made.calls.until(lambda: 1 not in made.calls), 30)
    assert made.begun == [1]
