"""One statement for calls that come at the same time.

Whoever is first goes; who comes meanwhile shares the next statement. Nobody waits for calls that may come,
only for those that have come and are on their way through the event loop; and nobody waits long for a slow
statement: then the next one is sent beside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

A = TypeVar("A")
R = TypeVar("R")

_LANES: Final = 4

# Turns of the event loop that bring no new caller: gRPC takes in a call in fewer, while it has any.
_QUIET_TURNS: Final = 6

# Longer than a statement takes that finds its pages in memory.
_PATIENCE_SECONDS: Final = 0.01


class Coalescer(Generic[A, R]):
    """Collects what is asked while a statement is under way, and asks it together.

    Args:
        run: Takes a batch when it is about to send it, and answers it in order. If it fails, all in the
            batch fail alike; if it fails before, all who could have been in it.
        max_batch: How many may be asked together.
        cancellable: Whether a batch that nobody waits for any more is cancelled.
    """

    def __init__(
        self,
        run: Callable[[Callable[[], list[A]]], Coroutine[None, None, Sequence[R]]],
        *,
        max_batch: int,
        cancellable: bool = False,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._cancellable = cancellable
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._lanes: set[asyncio.Task[None] | None] = set()
        self._slow: set[asyncio.Task[Sequence[R]]] = set()
        """What has been under way for long."""

    async def ask(self, item: A) -> R:
        """Return the answer. Who is cancelled before the statement is sent is left out of it."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._open_lane()
        return await future

    def _open_lane(self) -> None:
        """Open a lane if none is open that will be free soon, or if those who wait fill a statement."""
        wanted = len(self._lanes) == len(self._slow) or len(self._waiting) >= self._max_batch
        if wanted and len(self._lanes) < _LANES:
            # In a context of its own: what it logs is not the call's that happened to open it.
            self._lanes.add(asyncio.create_task(self._serve(), context=Context()))

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                await self._ask_together()
        finally:
            self._lanes.discard(asyncio.current_task())

    async def _gather(self) -> None:
        """Wait until the loop brings no more callers: until none has come in some of its turns."""
        waiting, turns = 0, 0
        while turns < _QUIET_TURNS and waiting < self._max_batch:
            await asyncio.sleep(0)
            turns = turns + 1 if len(self._waiting) <= waiting else 0
            waiting = len(self._waiting)

    async def _ask_together(self) -> None:
        futures: list[asyncio.Future[R]] = []

        def take() -> list[A]:
            items = self._take(futures)
            if self._cancellable:
                _cancel_with_the_last(running, futures)
            return items

        running = asyncio.create_task(self._run(take))
        timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._lose_patience, running)
        await asyncio.wait((running,))
        timer.cancel()
        self._slow.discard(running)
        if not futures and not running.cancelled() and running.exception():
            self._take(futures)  # there was no connection to ask on
        _answer(futures, running)

    def _take(self, futures: list[asyncio.Future[R]]) -> list[A]:
        """Take those who wait, as many as may be asked together, without those who have gone."""
        items: list[A] = []
        while self._waiting and len(items) < self._max_batch:
            item, future = self._waiting.popleft()
            if not future.done():
                items.append(item)
                futures.append(future)
        return items

    def _lose_patience(self, running: asyncio.Task[Sequence[R]]) -> None:
        self._slow.add(running)
        if self._waiting:
            self._open_lane()


def _answer(futures: Sequence[asyncio.Future[R]], done: asyncio.Task[Sequence[R]]) -> None:
    error = None if done.cancelled() else done.exception()
    for index, future in enumerate(futures):
        if future.done():
            continue  # its caller has gone
        if done.cancelled():
            future.cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result()[index])


def _cancel_with_the_last(running: asyncio.Task[Sequence[R]], futures: Sequence[asyncio.Future[R]]) -> None:
    def cancelled(future: asyncio.Future[R]) -> None:
        if future.cancelled() and all(other.cancelled() for other in futures):
            running.cancel()

    for future in futures:
        future.add_done_callback(cancelled)
