"""What streams are held by while they are open, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.rpc.drafts import Draft
from sessionhistory_server.rpc.pieces import OpenStreams, Pieces


class OverCall:
    """A call that is over: its cancellation comes a turn of the loop after what else says so."""

    def time_remaining(self) -> float:
        """It had a deadline, which has passed."""
        return 0

    def trailing_metadata(self) -> tuple[()]:
        """None."""
        return ()

    async def send_initial_metadata(self, _: object) -> None:
        """Fail, as gRPC does."""
        raise grpc.aio.InternalError

    async def read(self) -> object:
        """End the stream."""
        task: Any = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        return grpc.aio.EOF


async def test_a_call_that_is_over_is_cancelled() -> None:
    """It is neither a defect of ours nor a caller who has ended the stream without a finish."""
    over: Any = OverCall()
    pieces = Pieces(over, bytes, OpenStreams(), idle_seconds=1, default_deadline_seconds=1)
    await pieces.accept()
    reading = asyncio.create_task(pieces.read())
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_all_end_though_one_is_just_timing_out() -> None:
    """A stream whose time has passed in that moment does not keep the others open."""
    streams = OpenStreams()
    waiting = [asyncio.create_task(streams.wait(asyncio.Event().wait(), after)) for after in (0, None)]
    # It is only for one turn of the loop that a stream has timed out and still waits.
    while not any(timeout.expired() for timeout in streams._waiting):  # noqa: SLF001, ASYNC110
        await asyncio.sleep(0)
    streams.end()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [TimeoutError, TimeoutError]


def test_a_draft_holds_what_came_once() -> None:
    """What the header says is taken out of it, and not copied."""
    begun = mpb.Message(content="x" * 10_000, tool_calls=[{"name": "f", "arguments": "y" * 10_000}])
    draft = Draft(begun)
    assert begun.ByteSize() < 100
    kept = draft.interrupted()
    assert (kept.content, kept.tool_calls[0].arguments) == ("x" * 10_000, "y" * 10_000)
