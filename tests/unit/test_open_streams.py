"""Open streams without a server: how they end, and how much memory a draft holds."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.rpc.peers.byte_budget import ByteBudget
from sessionhistory_server.rpc.peers.connection import Exchange, PeerConnection
from sessionhistory_server.rpc.streaming.credential import StreamCredential
from sessionhistory_server.rpc.streaming.draft import Draft
from sessionhistory_server.rpc.streaming.reader import Reader
from sessionhistory_server.rpc.streaming.waits import StreamRules, StreamWaits


class OverCall:
    """A call that is over. Its cancellation comes one turn of the event loop after the other signs of it."""

    def time_remaining(self) -> float:
        """Return 0: the call's deadline has passed."""
        return 0

    def trailing_metadata(self) -> tuple[()]:
        """Return no metadata."""
        return ()

    async def send_initial_metadata(self, _: object) -> None:
        """Fail as gRPC does when a call is over."""
        raise grpc.aio.InternalError

    async def read(self) -> object:
        """End the stream."""
        task: Any = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        return grpc.aio.EOF


async def test_a_call_that_is_over_is_cancelled() -> None:
    """A call that is over raises a cancellation, and neither an internal error nor an early end of stream."""
    over: Any = OverCall()
    task: Any = asyncio.current_task()
    exchange = Exchange(PeerConnection("ipv4:192.0.2.1:1", ByteBudget(0)), over, task, 0)
    rules = StreamRules(idle_seconds=1, default_deadline_seconds=1)
    reader = Reader(over, exchange, bytes, rules, StreamCredential(None))
    await reader.accept()
    reading = asyncio.create_task(reader.read())
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_all_end_though_one_is_just_timing_out() -> None:
    """A stream that times out at the moment of the stop does not keep other streams open."""
    streams = StreamWaits()
    waiting = [asyncio.create_task(streams.wait(asyncio.Event().wait(), after)) for after in (0, None)]
    # A stream that has timed out and still waits exists for only one turn of the event loop.
    while not any(timeout.expired() for timeout in streams._waiting):  # noqa: SLF001, ASYNC110
        await asyncio.sleep(0)
    streams.end()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [TimeoutError, TimeoutError]


def test_a_draft_holds_what_came_once() -> None:
    """A draft takes the values out of the header, and does not copy them."""
    begun = mpb.Message(content="x" * 10_000, tool_calls=[{"name": "f", "arguments": "y" * 10_000}])
    draft = Draft(begun)
    assert begun.ByteSize() < 100
    kept = draft.interrupted()
    assert (kept.content, kept.tool_calls[0].arguments) == ("x" * 10_000, "y" * 10_000)
