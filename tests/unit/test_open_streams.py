"""What streams are held by while they are open, without a server."""

from __future__ import annotations

import asyncio

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory_server.rpc.drafts import Draft
from sessionhistory_server.rpc.pieces import OpenStreams


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
