"""Clients that make their calls over a stream, and what they have sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from sessionhistory import Message, Role
from sessionhistory._async import call_stream
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    import pytest
    from fake_server import FakeServer
    from fake_streams import FakeStream

    from sessionhistory import AsyncSessionHistoryClient as Client

HELLO = Message(role=Role.USER, content="hello")


def allow_slow_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client wait for the first answer as long as a busy machine may need."""
    monkeypatch.setattr(call_stream, "_FIRST_ANSWER_SECONDS", PATIENCE_SECONDS)


async def open_stream(client: Client, fake: FakeServer) -> FakeStream:
    """Make calls until the client makes them over a new stream; return the stream, without these calls."""
    fake.streams.code = grpc.StatusCode.OK
    before = len(fake.streams.opened)

    async def is_used() -> bool:
        await client.get_session("opening")
        return any(stream.calls for stream in fake.streams.opened[before:])

    await until(is_used)
    stream = fake.streams.opened[-1]
    stream.requests.clear()
    fake.calls.clear()
    return stream


async def begun(stream: FakeStream, *calls: Any) -> list[asyncio.Task[Any]]:
    """Begin calls, which the stream does not answer, and return them when the server has them."""
    stream.answers_calls = False
    known = len(stream.calls)
    tasks = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: len(stream.calls) == known + len(tasks))
    return tasks


def alone(fake: FakeServer) -> list[str]:
    """Return the sessions of the calls that came in requests of their own."""
    return [call.request.session_id for call in fake.calls]
