"""Run work until the service stops; restart the work when it fails or hangs."""

from __future__ import annotations

import asyncio
import logging
import types
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

_RESTART_DELAY_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 1.0
_CANCEL_AGAIN_SECONDS: Final = 0.2
_CANCELLATIONS: Final = 10

_log = logging.getLogger(__name__)


class SupervisedTask:
    """A task that runs from ``start`` to ``stop``, and is restarted if its work fails or hangs.

    Args:
        name: The name of the work in the log.
        work: Returns a coroutine that does the work until it is cancelled.
        limit_seconds: Work that waits for longer than this hangs. Its own pauses must be shorter.
    """

    def __init__(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], *, limit_seconds: float
    ) -> None:
        self._name = name
        self._work = work
        self._limit_seconds = limit_seconds
        self._steps = 0
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the work, and keep it running."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Cancel the work, and wait a few seconds for its end."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))

    async def _keep(self) -> None:
        while True:
            task = asyncio.create_task(self._counted())
            try:
                await self._watch(task)
            finally:
                await self._end(task)
            await asyncio.sleep(_RESTART_DELAY_SECONDS)  # work that fails at once must not fill the log

    async def _watch(self, task: asyncio.Task[None]) -> None:
        """Wait until the work has failed, or has made no step for too long.

        It counts checks instead of seconds, so that a pause of the whole machine does not count.
        """
        steps, idle_seconds = -1, 0.0
        while idle_seconds < self._limit_seconds:
            if (await asyncio.wait((task,), timeout=_CHECK_SECONDS))[0]:
                error = None if task.cancelled() else task.exception()
                _log.error("%s failed: restarting it", self._name, exc_info=error)
                return
            idle_seconds = idle_seconds + _CHECK_SECONDS if steps == self._steps else 0.0
            steps = self._steps
        _log.error("%s hangs: restarting it", self._name, extra={"waited_seconds": idle_seconds})

    async def _end(self, task: asyncio.Task[None]) -> None:
        # More than once: wait_for of Python 3.11 ignores a cancellation that arrives together with a result.
        for _ in range(_CANCELLATIONS):
            task.cancel()
            if (await asyncio.wait((task,), timeout=_CANCEL_AGAIN_SECONDS))[0]:
                return
        _log.error("%s does not end: abandoning it", self._name)

    async def _counted(self) -> None:
        await self._count_steps(self._work())

    @types.coroutine
    def _count_steps(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Run work, and count its steps. A step is a continuation after a wait."""
        try:
            awaited = work.send(None)
            while True:
                self._steps += 1
                try:
                    sent = yield awaited
                except BaseException as error:  # noqa: BLE001 - a cancellation must reach the work, too
                    awaited = work.throw(error)
                else:
                    awaited = work.send(sent)
        except StopIteration:
            return
