"""The deadline of a call: the caller's own, or else a default."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from sessionhistory_server.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionhistory_server.rpc.peers.connection import Context

T = TypeVar("T")

# The caller's timeout began earlier than the server's, by the time that the request was in transit.
_SLACK_SECONDS: Final = 0.1


def seconds_left(context: Context) -> float | None:
    """Return how long the caller still waits; ``None`` if it named no deadline.

    The layers below ask ``call_context``, because they do not know gRPC.
    """
    remaining: float | None = context.time_remaining()
    return remaining


def cancelled_code(context: Context) -> grpc.StatusCode:
    """Return the code of a cancelled call: its caller has cancelled it, or its deadline has passed."""
    remaining = seconds_left(context)
    expired = remaining is not None and remaining <= _SLACK_SECONDS
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """Return the result of work that may take this many seconds; ``None``: no limit.

    Raises:
        DeadlineExceededError: the work took too long.
    """
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise DeadlineExceededError from error
