"""Find out when the event loop has received the calls that have arrived.

gRPC delivers calls one by one, each some turns of the event loop after the one before. Until then, those of
all tenants wait there in one queue. Work that can wait lets them arrive first.
"""

from __future__ import annotations

import asyncio
from typing import Final

QUIET_TURNS: Final = 8
"""After this many turns without a call, none is on its way."""
MOST_ARRIVALS: Final = 256
"""The calls that work lets arrive first, at most."""


class Arrivals:
    """The calls that the event loop has received."""

    def __init__(self) -> None:
        self._count = 0

    def note(self, calls: int = 1) -> None:
        """Count calls that have been received."""
        self._count += calls

    async def cease(self) -> None:
        """Wait until no call is on its way, or many have arrived meanwhile."""
        end, turns = self._count + MOST_ARRIVALS, 0
        while turns < QUIET_TURNS and self._count < end:
            before = self._count
            await asyncio.sleep(0)
            turns = 0 if self._count > before else turns + 1
