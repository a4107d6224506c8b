"""Answer refused calls slowly, because a caller that retries at once is refused again.

A refusal costs the event loop more than a call. While it waits, it costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Final

from sessionhistory_server import call_context

if TYPE_CHECKING:
    from sessionhistory_server.rpc.load.arrivals import Arrivals

_PER_SECOND: Final = 500
_AT_ONCE: Final = 50
"""The refusals that are answered at once if there was none for a while."""
_LONGEST_SECONDS: Final = 5.0
_MAX_WAITING: Final = 4_096


class Pace:
    """The pace of the refusals of a worker.

    Beyond it a refusal waits for those before it, and then until no call is on its way: it has the lowest
    priority.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._next = 0.0
        """When the next refusal would be answered if none were answered at once, by the clock of the loop."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._server: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Wait until a refusal may be answered."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._waiting:
            self._next = max(self._next, now) + 1 / _PER_SECOND
            if self._next - now <= _AT_ONCE / _PER_SECOND:
                return
        if len(self._waiting) >= _MAX_WAITING:
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        if self._server is None:
            self._server = asyncio.create_task(self._serve(), context=Context())
        with suppress(TimeoutError):
            # An answer after the deadline comes too late: its caller may have given up the connection.
            async with asyncio.timeout(min(_LONGEST_SECONDS, call_context.current().seconds_left)):
                await turn

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(1 / _PER_SECOND)
                await self._arrivals.cease()
                self._answer_next()
        finally:
            self._server = None

    def _answer_next(self) -> None:
        """Answer the next refusal whose caller still waits for it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
