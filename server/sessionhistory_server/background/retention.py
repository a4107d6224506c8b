"""Purge sessions whose purge time has come, and remove summaries that older releases left behind."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from sessionhistory_server.background.jobs import Job
from sessionhistory_server.call_context import Subject
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.observability import trail
from sessionhistory_server.store import void_summaries
from sessionhistory_server.store.sessions import purging

if TYPE_CHECKING:
    from sessionhistory_server.background.jobs import JobDatabase
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database, Work
    from sessionhistory_server.store.void_summaries import SweepPosition

INTERVAL_SECONDS: Final = 60.0
BATCH_SESSIONS: Final = 20
SLICE_SUMMARIES: Final = 1_000

# Another transaction keeps the session locked, or a statement took too long.
_SKIPPED: Final = frozenset({"TRANSACTION_CONFLICT", "DEADLINE_EXCEEDED"})

_log = logging.getLogger(__name__)


def job() -> Job:
    """Return the job. Its sweep begins at the first summary."""
    return Job("retention", _Retention().run_once, INTERVAL_SECONDS, 4 * INTERVAL_SECONDS)


class _Retention:
    """The job and its state: the position of the sweep of summaries."""

    def __init__(self) -> None:
        self._position = void_summaries.START

    async def run_once(self, database: JobDatabase) -> None:
        """Purge all sessions that are due, then examine the next summaries."""
        skipped: list[str] = []
        while await purge_batch(database, skipped):
            pass
        self._position = await sweep_slice(database, self._position)


async def purge_batch(database: Database | JobDatabase, skipped: list[str]) -> int:
    """Purge some sessions that are due, each in its own transaction; return the number of attempts.

    Args:
        database: The database of the sessions.
        skipped: The keys of sessions to leave for the next run. The function adds the keys of sessions that
            it cannot purge now.
    """
    keys = await database.read(lambda c: purging.due(c, besides=skipped, limit=BATCH_SESSIONS))
    skipped += [key for key in keys if not await _write(database, partial(_purge, session_key=key))]
    return len(keys)


async def sweep_slice(database: Database | JobDatabase, after: SweepPosition) -> SweepPosition:
    """Examine some summaries after a position, and remove the void ones; return the next position.

    If a session is locked, its summaries are left for the next sweep.
    """
    keys, end = await database.read(lambda c: void_summaries.find_suspects(c, after, limit=SLICE_SUMMARIES))
    for key in keys:
        await _write(database, partial(void_summaries.remove_void, session_key=key), lock=key)
    return end


async def _purge(connection: Connection, session_key: str) -> None:
    """Purge a session if it is due, and write that into the trail."""
    purged = await purging.purge_due(connection, session_key)
    if purged is not None:
        tenant_id, session_id = purged
        trail.write(Subject(tenant_id, session_id=session_id, act=trail.PURGE), "OK")


async def _write(database: Database | JobDatabase, work: Work[None], *, lock: str | None = None) -> bool:
    """Change a session; return ``False`` if it cannot be changed now."""
    try:
        await database.write(work, lock=lock)
    except SessionHistoryError as error:
        if error.reason not in _SKIPPED:
            raise
        _log.warning("a session is locked or slow, and left for the next run", extra={"reason": error.reason})
        return False
    return True
