"""The use cases of streamed messages: a check when a stream begins, and one append when it ends.

An append that has begun runs to its end even if the call ends, so that each stream has one outcome.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sessionhistory_server.errors import (
    AlreadyExistsError,
    LimitReachedError,
    RetryableError,
    SessionHistoryError,
)
from sessionhistory_server.store.appends import stream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sessionhistory_server.model.append import Append, AppendOutcome
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.usecases.messages import Messages
    from sessionhistory_server.usecases.metering import Metering

T = TypeVar("T")

_RETRY_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class MessageStreams:
    """The use cases of streamed messages.

    Each ``Append`` has one message, and ids for the message and its session.
    """

    def __init__(self, database: Database, metering: Metering, messages: Messages) -> None:
        self._database = database
        self._metering = metering
        self._messages = messages
        self._appends: set[asyncio.Task[object]] = set()
        self._closing = asyncio.Event()

    async def check(self, caller: Caller, asked: Append) -> None:
        """Raise the error that the append of a stream would raise now, if any."""
        async with self._metering.room(caller) as room:
            batch = self._messages.batch(caller, asked).within(room)
            await self._database.read(lambda c: stream.check(c, batch))

    def store(self, caller: Caller, asked: Append) -> asyncio.Task[AppendOutcome]:
        """Begin to store a complete message. It replaces an interrupted message that has the same id."""
        return self._begin(self._store(caller, asked))

    def keep(self, caller: Caller, asked: Append, *, patient: bool) -> asyncio.Task[AppendOutcome]:
        """Begin to store the received part of a message.

        Args:
            caller: The caller of the stream.
            asked: The received part of the message.
            patient: Whether to retry for half a minute while the database is unavailable, because the caller
                has disappeared and cannot repeat the stream.
        """
        return self._begin(self._keep(caller, asked, _RETRY_SECONDS if patient else 0))

    async def close(self) -> None:
        """Wait for the appends that have begun. They are no longer retried."""
        self._closing.set()
        while self._appends:
            await asyncio.wait(self._appends)

    async def _store(self, caller: Caller, asked: Append) -> AppendOutcome:
        try:
            return await self._messages.append(caller, asked, is_accepted=True)
        except AlreadyExistsError:
            batch = self._messages.batch(caller, asked)
            if not await self._messages.counting.store_counted(batch, self._replace_interrupted):
                raise
        return await self._messages.append(caller, asked, is_accepted=True)  # finds the message stored

    async def _replace_interrupted(self, batch: Batch) -> bool:
        replace = self._metering.measured(
            batch.tenant_id, batch.ref, partial(stream.replace_interrupted, batch=batch)
        )
        return await self._database.write(replace, lock=batch.ref)

    async def _keep(self, caller: Caller, asked: Append, retry_seconds: float) -> AppendOutcome:
        end = asyncio.get_running_loop().time() + retry_seconds
        while True:
            try:
                return await self._messages.append(caller, asked, is_accepted=True)
            except SessionHistoryError as error:
                is_last_attempt = self._closing.is_set() or asyncio.get_running_loop().time() >= end
                is_full = isinstance(error, LimitReachedError)
                if is_last_attempt or is_full or not isinstance(error, RetryableError):
                    _log.warning("broken stream not kept", extra={"reason": error.reason})
                    raise
                delay_seconds = error.retry_delay_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_seconds):
                    await self._closing.wait()

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._appends.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._appends.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SessionHistoryError):
            _log.error("internal error", exc_info=error)  # the call may have ended
