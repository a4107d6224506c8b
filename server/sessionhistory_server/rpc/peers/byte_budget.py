"""A budget of bytes with a queue: a call reserves the bytes of its answer before it makes the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ByteBudget:
    """A budget of ``size`` bytes. While nothing is taken, a call may take more than the size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_take(self, size: int) -> bool:
        """Take bytes if that needs no wait; return whether they were taken."""
        if self._queue or not self._has(size):
            return False
        self._taken += size
        return True

    async def take(self, size: int) -> None:
        """Take bytes, after a wait in the queue if necessary."""
        if self.try_take(size):
            return
        granted = asyncio.get_running_loop().create_future()
        self._queue.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            # The bytes may have been granted at the same time. If not, calls behind in the queue may need
            # less.
            self.change(0 if granted.cancelled() else -size)
            raise

    def change(self, size: int) -> None:
        """Take more or give back without waiting, and grant the waiting requests that fit now."""
        self._taken += size
        while self._queue and (self._queue[0][1].done() or self._has(self._queue[0][0])):
            size, granted = self._queue.popleft()
            if not granted.done():
                self._taken += size
                granted.set_result(None)

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Take bytes while the block runs."""
        await self.take(size)
        try:
            yield
        finally:
            self.change(-size)

    @property
    def queued_bytes(self) -> int:
        """The bytes that all waiting calls need together."""
        return sum(size for size, granted in self._queue if not granted.done())

    def _has(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._size
