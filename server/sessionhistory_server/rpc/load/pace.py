"""Answer refused calls slowly, because a caller that retries at once is refused again."""

from __future__ import annotations

import asyncio
from typing import Final

_PER_SECOND: Final = 500
"""A refusal costs the event loop about as much as half a call."""
_BURST_SECONDS: Final = 0.1
"""Refusals are answered at once unless so many seconds of them have come together."""
_MAX_SECONDS: Final = 1.0
_MAX_WAITING: Final = 4_096


class Pace:
    """The pace of the refusals of a worker. Beyond it, they wait for up to a second."""

    def __init__(self) -> None:
        self._next = 0.0
        """When the next refusal would be answered without a burst, by the clock of the event loop."""
        self.waiting = 0

    async def keep(self) -> None:
        """Wait until the next refusal may be answered."""
        now = asyncio.get_running_loop().time()
        self._next = min(max(self._next, now) + 1 / _PER_SECOND, now + _BURST_SECONDS + _MAX_SECONDS)
        seconds = self._next - now - _BURST_SECONDS
        if seconds <= 0 or self.waiting >= _MAX_WAITING:
            return
        self.waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waiting -= 1
