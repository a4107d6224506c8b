"""The use cases of a message that comes as a stream: whether it may begin, and its one append.

What has begun runs to its end, whatever becomes of the caller: so a stream has one outcome.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from sessionhistory_server.errors import AlreadyExistsError, RetryableError, SessionHistoryError
from sessionhistory_server.store import append_stream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sessionhistory_server.history import AppendRequest, SessionHistory
    from sessionhistory_server.model import Appended, Window
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.database import Database

    Outcome = tuple[str, Appended, Window | None]

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class AppendStreams:
    """Messages that come as streams. A request of theirs holds one message, with an id."""

    def __init__(self, database: Database, history: SessionHistory) -> None:
        self._database = database
        self._history = history
        self._under_way: set[asyncio.Task[object]] = set()
        self._closing = asyncio.Event()

    async def check(self, request: AppendRequest) -> None:
        """Refuse at once what its append would be refused for."""
        batch = self._history.batch(request)
        await self._database.read(lambda c: append_stream.check(c, batch))

    def store(self, request: AppendRequest) -> asyncio.Task[Outcome]:
        """Begin to store a message that is whole; an interrupted one that stands in its place goes."""
        return self._begin(self._store(request))

    def keep(self, request: AppendRequest, *, patient: bool) -> asyncio.Task[Outcome]:
        """Begin to store what there is of a message.

        Args:
            request: The message, as far as it came.
            patient: Try for half a minute while the database is away: maybe nobody else has the message now.
        """
        return self._begin(self._keep(request, _PATIENCE_SECONDS if patient else 0))

    async def close(self) -> None:
        """Wait for what has begun, and try nothing again."""
        self._closing.set()
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _store(self, request: AppendRequest) -> Outcome:
        try:
            return await self._history.append(request)
        except AlreadyExistsError:
            batch = self._history.batch(request)
            if not await self._history.counted(batch, self._replace_interrupted):
                raise
        return await self._history.append(request)  # which finds it stored

    async def _replace_interrupted(self, batch: Batch) -> bool:
        return await self._database.write(lambda c: append_stream.replace_interrupted(c, batch))

    async def _keep(self, request: AppendRequest, patience_seconds: float) -> Outcome:
        end = asyncio.get_running_loop().time() + patience_seconds
        while True:
            try:
                return await self._history.append(request)
            except SessionHistoryError as error:
                tired = self._closing.is_set() or asyncio.get_running_loop().time() >= end
                if tired or not isinstance(error, RetryableError):
                    _log.warning("broken stream not kept", extra={"reason": error.reason})
                    raise
                delay_seconds = error.retry_delay_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_seconds):
                    await self._closing.wait()

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SessionHistoryError):
            _log.error("internal error", exc_info=error)  # the caller may have gone
