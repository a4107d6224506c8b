"""One statement for calls that come at the same time.

Whoever is first goes, alone or with those who are on their way through the event loop; who comes meanwhile
shares the next statement, with those who have come by then and are on their way. Nobody waits for calls that
may come, and nobody waits long for a slow statement: then the next one is sent beside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from sessionhistory_server.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

A = TypeVar("A")
R = TypeVar("R")

_LANES: Final = 4

# Turns of the event loop that bring no new caller: gRPC takes in a call in fewer, while it has any.
_QUIET_TURNS: Final = 12

# Seconds of work; who comes then had better come again.
_MAX_WAITING: Final = 4_096

# Longer than a statement takes that finds its pages in memory.
_PATIENCE_SECONDS: Final = 0.01


class Coalescer(Generic[A, R]):
    """Collects what is asked while a statement is under way, and asks it together.

    Args:
        run: Takes a batch when it is about to send it, and answers it in order. If it fails, all in the
            batch fail alike; if it fails before, all who could have been in it. It may be cancelled once.
        max_batch: How many may be asked together.
        cancellable: Whether a batch that nobody waits for any more is cancelled.
        eager: Whether who is first goes at once, and does not first let those come who are on their way.
    """

    def __init__(
        self,
        run: Callable[[Callable[[], list[A]]], Coroutine[None, None, Sequence[R]]],
        *,
        max_batch: int,
        cancellable: bool = False,
        eager: bool = True,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._cancellable = cancellable
        self._eager = eager
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._slow: set[asyncio.Task[None]] = set()
        """The lanes whose statement has been under way for long."""

    async def ask(self, item: A) -> R:
        """Return the answer. Who is cancelled before the statement is sent is left out of it.

        Raises:
            ResourceExhaustedError: too many wait already.
        """
        if len(self._waiting) >= _MAX_WAITING:
            raise ResourceExhaustedError("too many calls wait for the database", reason="POOL_EXHAUSTED")
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
        lane = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            if not self._eager:
                await self._gather()
            while self._waiting:
                await self._ask_together(lane)
                await self._gather()
        finally:
            self._lanes.discard(lane)

    async def _gather(self) -> None:
        """Wait until the loop brings no more callers: until none has come in some of its turns."""
        turns = 0
        while turns < _QUIET_TURNS and (waiting := len(self._waiting)) < self._max_batch:
            await asyncio.sleep(0)
            turns = 0 if len(self._waiting) > waiting else turns + 1

    async def _ask_together(self, lane: asyncio.Task[None]) -> None:
        batch = _Batch[R](lane if self._cancellable else None)
        timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._lose_patience, lane)
        try:
            batch.answer(await self._run(lambda: self._take(batch)))
        except asyncio.CancelledError:
            if not batch.is_abandoned:
                batch.cancel()
                raise
            lane.uncancel()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
            if not batch.futures:
                self._take(batch)  # there was no connection to ask on
            batch.fail(error)
        finally:
            batch.lane = None
            timer.cancel()
            self._slow.discard(lane)

    def _take(self, batch: _Batch[R]) -> list[A]:
        """Take those who wait, as many as may be asked together, without those who have gone."""
        items: list[A] = []
        while self._waiting and len(items) < self._max_batch:
            item, future = self._waiting.popleft()
            if not future.done():
                items.append(item)
                batch.add(future)
        return items

    def _lose_patience(self, lane: asyncio.Task[None]) -> None:
        self._slow.add(lane)
        if self._waiting:
            self._open_lane()


class _Batch(Generic[R]):
    """Those who wait for one statement, on a lane that is cancelled when the last of them has gone."""

    def __init__(self, lane: asyncio.Task[None] | None) -> None:
        self.lane = lane
        self.futures: list[asyncio.Future[R]] = []

    @property
    def is_abandoned(self) -> bool:
        return bool(self.futures) and all(future.cancelled() for future in self.futures)

    def add(self, future: asyncio.Future[R]) -> None:
        self.futures.append(future)
        if self.lane:
            future.add_done_callback(self._leave)

    def answer(self, answers: Sequence[R]) -> None:
        for future, answer in zip(self.futures, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def fail(self, error: Exception) -> None:
        for future in self.futures:
            if not future.done():
                future.set_exception(error)

    def cancel(self) -> None:
        for future in self.futures:
            future.cancel()

    def _leave(self, future: asyncio.Future[R]) -> None:
        if self.lane and future.cancelled() and self.is_abandoned:
            self.lane.cancel()
