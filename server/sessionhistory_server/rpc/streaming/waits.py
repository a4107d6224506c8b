"""The time limits of open streams, and the end of their waits when the server stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


class StreamWaits:
    """The waits of open streams of one kind. They end when the server stops."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self.are_ended = False

    def end(self) -> None:
        """End the current waits, and each later wait at once."""
        self.are_ended = True
        for timeout in self._waiting:
            if not timeout.expired():
                timeout.reschedule(0)

    async def wait(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Return the result of an awaitable.

        Raises:
            TimeoutError: it takes longer than this many seconds, or the waits are ended.
        """
        async with asyncio.timeout(0 if self.are_ended else seconds) as timeout:
            self._waiting.add(timeout)
            try:
                return await awaitable
            finally:
                self._waiting.discard(timeout)


@dataclass(frozen=True, slots=True)
class StreamRules:
    """The time limits of streams, and the default deadline of all calls.

    Args:
        idle_seconds: The maximum time between the messages of a stream, if the caller named no deadline.
        default_deadline_seconds: The deadline of a call whose caller named none. It is also the maximum time
            until the first message of a stream arrives.
        reads: The waits for messages of callers.
        sends: The waits for something to send on streams that last. They have no time limit: HTTP/2 pings
            detect a caller that has disappeared, and ``PeerWatcher`` a caller that does not read.
    """

    idle_seconds: float
    default_deadline_seconds: float
    reads: StreamWaits = field(default_factory=StreamWaits)
    sends: StreamWaits = field(default_factory=StreamWaits)
