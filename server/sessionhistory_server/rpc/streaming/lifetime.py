"""The lifetime of a stream of calls: the server ends it when it is idle or old, and when the server stops."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.rpc.streaming.waits import StreamRules

AGE_SECONDS: Final = 30 * 60.0
"""Half the age at which gRPC ends connections: load balancers and new workers get their share of streams."""
_JITTER: Final = 0.2
GRACE_SECONDS: Final = 2.0
"""For which the server still reads calls on a stream that ends: calls may be on their way."""


class Lifetime:
    """The lifetime of one stream.

    Args:
        rules: The time limits of streams.
        is_busy: Returns whether calls are in progress.
    """

    def __init__(self, rules: StreamRules, is_busy: Callable[[], bool]) -> None:
        self._rules = rules
        self._is_busy = is_busy
        self._active_at = time.monotonic()
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        self._old_at = self._active_at + AGE_SECONDS * jitter

    def note(self, at: float) -> None:
        """Note that a message has arrived, by the monotonic clock."""
        self._active_at = at

    async def reason(self, reading: asyncio.Task[None]) -> pb.CallStreamEnding.Reason | None:
        """Wait until the stream ends; return why the server ends it, or ``None`` if the reading has ended."""
        while not reading.done():
            now = time.monotonic()
            if self._is_busy():
                self._active_at = now
            idle_at = self._active_at + self._rules.idle_seconds
            if self._rules.sends.are_ended:
                return pb.CallStreamEnding.REASON_STOPPING
            if now >= self._old_at:
                return pb.CallStreamEnding.REASON_AGE
            if now >= idle_at:
                return pb.CallStreamEnding.REASON_IDLE
            try:
                await self._rules.sends.wait(asyncio.wait((reading,)), min(idle_at, self._old_at) - now)
            except TimeoutError:
                continue
        return None
