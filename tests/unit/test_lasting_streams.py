"""Streams of answers that are meant to last, without a server."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server import call_context
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.errors import DeadlineExceededError
from sessionhistory_server.rpc.authentication import Authentication
from sessionhistory_server.rpc.dispatch import Method, Terms
from sessionhistory_server.rpc.peers.byte_budget import ByteBudget
from sessionhistory_server.rpc.peers.connection import Exchange, PeerConnection
from sessionhistory_server.rpc.receive import Receiver
from sessionhistory_server.rpc.streaming.sender import Sender
from sessionhistory_server.rpc.streaming.waits import StreamRules
from support.load import load_control


class _Context:
    """A call with an empty request, from a caller that names a deadline or none."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float | None:
        """Return how long the caller waits."""
        return self._seconds

    async def read(self) -> bytes:
        """Return the request."""
        return b""


def _exchange(context: Any) -> Exchange:
    task: Any = asyncio.current_task()
    return Exchange(PeerConnection("ipv4:192.0.2.1:1", ByteBudget(0)), context, task, time.monotonic())


def _open() -> Authentication:
    """Return the authentication of a server that asks for no credentials."""
    return Authentication(keys=None, tokens=None, certificates=None, must_name_user=False)


async def _left(*, lasts: bool, seconds: float | None) -> float:
    """Return how long a server stream may take by its context, for a caller with a deadline or none."""
    left: list[float] = []

    async def stream(*_: object) -> None:
        left.append(call_context.current().seconds_left)

    method = Method(
        "Stream",
        "/x/Stream",
        Terms(None, None, is_large=False, lasts=lasts),
        stream,
        pb.GetHistoryRequest,
        pb.GetHistoryResponse,
        lambda _: "",
        lambda _: "",
        streams_requests=False,
        streams_responses=True,
        is_vital=False,
        record=lambda *_: None,
    )
    call_context.begin(CallContext("id", "Stream"))
    context: Any = _Context(seconds)
    receiver = Receiver(
        StreamRules(idle_seconds=1, default_deadline_seconds=100),
        _open(),
        load_control(),
    )
    await receiver.server_stream(method, _exchange(context), context)
    return left[0]


@pytest.mark.parametrize(
    ("lasts", "seconds", "least", "most"),
    [(False, None, 50, 100), (False, 10, 5, 10), (True, 10, 5, 10), (True, None, math.inf, math.inf)],
)
async def test_a_stream_that_lasts_has_no_default_deadline(
    seconds: float | None, least: float, most: float, *, lasts: bool
) -> None:
    """Its caller's own deadline holds; any other stream has the default one."""
    assert least <= await _left(lasts=lasts, seconds=seconds) <= most


async def test_another_stream_ends_at_the_default_deadline() -> None:
    """Only a stream that lasts may take as long as its caller."""

    async def stream(*_: object) -> None:
        await asyncio.Event().wait()

    terms = Terms(None, None, is_large=False, lasts=False)
    method = Method(
        "Stream",
        "/x/Stream",
        terms,
        stream,
        pb.GetHistoryRequest,
        pb.GetHistoryResponse,
        lambda _: "",
        lambda _: "",
        streams_requests=False,
        streams_responses=True,
        is_vital=False,
        record=lambda *_: None,
    )
    context: Any = _Context()
    receiver = Receiver(
        StreamRules(idle_seconds=1, default_deadline_seconds=0),
        _open(),
        load_control(),
    )
    with pytest.raises(DeadlineExceededError):
        await receiver.server_stream(method, _exchange(context), context)


async def test_a_wait_for_something_to_send_ends_with_the_server() -> None:
    """A stream that lasts ends by itself: it is not cancelled, so it can still send."""
    context: Any = _Context()
    rules = StreamRules(idle_seconds=1, default_deadline_seconds=1)
    sender = Sender(context, _exchange(context), rules)
    waiting = asyncio.create_task(sender.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    assert not sender.is_ending
    rules.sends.end()
    await waiting
    assert sender.is_ending
    await sender.wait(asyncio.Event().wait())


async def test_a_wait_ends_when_there_is_something_to_send() -> None:
    """The stream goes on."""
    context: Any = _Context()
    rules = StreamRules(idle_seconds=1, default_deadline_seconds=1)
    sender = Sender(context, _exchange(context), rules)
    await sender.wait(asyncio.sleep(0))
    assert not sender.is_ending
