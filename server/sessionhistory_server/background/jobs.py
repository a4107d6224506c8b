"""Background jobs, which the servers of one database share.

Each worker of each server runs every job. Each transaction of a job first takes the lock of the job. If
another server holds the lock, the transaction ends at once, so one server at a time does the work.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sessionhistory_server.errors import RetryableError
from sessionhistory_server.store.advisory_locks import try_lock_job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database, Work

T = TypeVar("T")

_log = logging.getLogger(__name__)


class JobBusyError(Exception):
    """Another server is in a transaction of the job."""


class JobDatabase:
    """The database as one job uses it: it writes only while it holds the job's lock."""

    def __init__(self, database: Database, job: str) -> None:
        self._database = database
        self._job = job

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing, without the lock.

        Raises:
            SessionHistoryError: as ``Database.read``.
        """
        return await self._database.read(work)

    async def write(self, work: Work[T], *, lock: str | None = None) -> T:
        """Run work in one transaction that holds the job's lock.

        Raises:
            JobBusyError: another server holds it. The work was not begun.
            SessionHistoryError: as ``Database.write``.
        """

        async def locked(connection: Connection) -> T:
            async with connection.transaction():
                if not await try_lock_job(connection, self._job):
                    raise JobBusyError
                return await work(connection)

        return await self._database.write(locked, lock=lock)


class Job(NamedTuple):
    """Work that one server at a time repeats."""

    name: str
    """The name of the job in the log, and of its lock."""
    run_once: Callable[[JobDatabase], Awaitable[None]]
    interval_seconds: float
    hangs_after_seconds: float
    """A job that waits for longer than this hangs. It is longer than the interval and any statement."""


async def run(job: Job, database: Database) -> None:
    """Run a job, and repeat it after its interval, until cancelled."""
    exclusive = JobDatabase(database, job.name)
    while True:
        delay_seconds = job.interval_seconds
        try:
            await job.run_once(exclusive)
        except JobBusyError:
            _log.debug("%s: another server runs it", job.name)
        except RetryableError as error:
            _log.debug("%s is postponed", job.name, extra={"reason": error.reason})
            delay_seconds = error.retry_delay_seconds
        await asyncio.sleep(delay_seconds)
