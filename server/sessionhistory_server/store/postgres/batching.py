"""Execute concurrent calls in one statement.

The first call is sent at once, together with calls that the event loop has already received. Calls that
arrive while a statement runs share the next one. No call waits for calls that may never arrive. No call waits
long for a slow statement, unless it is in the same lane: the next statement is sent concurrently.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from sessionhistory_server.errors import ResourceExhaustedError
from sessionhistory_server.store.postgres.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Sequence

A = TypeVar("A")
R = TypeVar("R")

_MAX_SENDERS: Final = 4

# After this many turns of the event loop without a new call, no call is on its way: gRPC delivers a call in
# fewer turns.
_QUIET_TURNS: Final = 12

# The queue holds a few seconds of work. The server refuses further calls, and their callers retry.
_MAX_WAITING: Final = 4_096

# Longer than a statement takes if its pages are in memory.
_SLOW_SECONDS: Final = 0.01


class Batcher(Generic[A, R]):
    """A queue of items. A batcher collects items while a statement runs, and sends them with the next one.

    Args:
        run: Runs a statement. It calls its argument for the batch just before it sends the statement, and
            returns the answers in order. If it fails, each item of the batch fails. If it fails before it has
            taken a batch, the items that would have been in the batch fail. It may be cancelled once.
        max_batch: The maximum number of items in a batch.
        cancellable: Whether a statement is cancelled when no call waits for it.
        eager: Whether the first item is sent at once, without a wait for items that are on their way.
        max_senders: The maximum number of statements at a time.
    """

    def __init__(
        self,
        run: Callable[[Callable[[], list[A]]], Coroutine[None, None, Sequence[R]]],
        *,
        max_batch: int,
        cancellable: bool = False,
        eager: bool = True,
        max_senders: int = _MAX_SENDERS,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._cancellable = cancellable
        self._eager = eager
        self._max_senders = max_senders
        self._waiting: Lanes[tuple[A, asyncio.Future[R]]] = Lanes()
        self._senders: set[asyncio.Task[None]] = set()
        self._slow: set[asyncio.Task[None]] = set()
        """The senders whose current statement is slow."""

    async def ask(self, item: A, *, lane: Hashable | None = None) -> R:
        """Return the answer to an item. If the caller is cancelled before the item is sent, it is not sent.

        Args:
            item: The item.
            lane: The items of a lane are sent in order, and one statement at a time has some of them.
                ``None``: no other item is in the lane.

        Raises:
            ResourceExhaustedError: too many items wait already.
        """
        if self._waiting.total >= _MAX_WAITING:
            raise ResourceExhaustedError("too many calls wait for the database", reason="POOL_EXHAUSTED")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.add(future if lane is None else lane, (item, future))
        self._start_sender()
        return await future

    def _start_sender(self) -> None:
        """Start a sender for items if all senders have slow statements, or if the items fill a statement."""
        ready = self._waiting.ready
        wanted = ready >= self._max_batch or (ready and len(self._senders) == len(self._slow))
        if wanted and len(self._senders) < self._max_senders:
            # In an empty context: its log lines do not belong to the call that starts it.
            self._senders.add(asyncio.create_task(self._serve(), context=Context()))

    async def _serve(self) -> None:
        sender = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            if not self._eager:
                await self._gather()
            while self._waiting.ready:
                await self._send_batch(sender)
                await self._gather()
        finally:
            self._senders.discard(sender)

    async def _gather(self) -> None:
        """Wait until some turns of the event loop have brought no new item."""
        turns = 0
        while turns < _QUIET_TURNS and (ready := self._waiting.ready) < self._max_batch:
            await asyncio.sleep(0)
            turns = 0 if self._waiting.ready > ready else turns + 1

    async def _send_batch(self, sender: asyncio.Task[None]) -> None:
        batch = _Batch[R](sender if self._cancellable else None)
        timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._count_as_slow, sender)
        try:
            batch.answer(await self._run(lambda: self._take(batch)))
        except asyncio.CancelledError:
            if not batch.is_abandoned:
                batch.cancel()
                raise
            sender.uncancel()
        except Exception as error:  # noqa: BLE001 - every error is an answer to the calls of the batch
            if not batch.futures:
                self._take(batch)  # it failed before it took a batch, because there was no connection
            batch.fail(error)
        finally:
            batch.sender = None
            timer.cancel()
            self._slow.discard(sender)
            self._waiting.give_back(batch.lanes)

    def _take(self, batch: _Batch[R]) -> list[A]:
        """Take the waiting items for one statement, without those whose callers are cancelled."""
        group, lanes = self._waiting.take(self._max_batch)
        batch.lanes += lanes
        items: list[A] = []
        for item, future in group:
            if not future.done():
                items.append(item)
                batch.add(future)
        return items

    def _count_as_slow(self, sender: asyncio.Task[None]) -> None:
        self._slow.add(sender)
        self._start_sender()


class _Batch(Generic[R]):
    """The calls that wait for one statement. Its sender is cancelled when all calls are cancelled."""

    def __init__(self, sender: asyncio.Task[None] | None) -> None:
        self.sender = sender
        self.futures: list[asyncio.Future[R]] = []
        self.lanes: list[Hashable] = []

    @property
    def is_abandoned(self) -> bool:
        return bool(self.futures) and all(future.cancelled() for future in self.futures)

    def add(self, future: asyncio.Future[R]) -> None:
        self.futures.append(future)
        if self.sender:
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
        if self.sender and future.cancelled() and self.is_abandoned:
            self.sender.cancel()
