"""Purge sessions whose purge time has come, and remove summaries that older releases left behind."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from sessionhistory_server.background.jobs import Job
from sessionhistory_server.call_context import Subject
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.observability import trail
from sessionhistory_server.store import void_summaries
from sessionhistory_server.store.sessions import purging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.background.jobs import JobDatabase
    from sessionhistory_server.store.postgres.database import Database
    from sessionhistory_server.store.sessions.purging import Purged
    from sessionhistory_server.store.void_summaries import SweepPosition

INTERVAL_SECONDS: Final = 60.0
BATCH_SESSIONS: Final = 20
SLICE_SUMMARIES: Final = 1_000

# Another transaction keeps the session locked, or a statement took too long.
_SKIPPED: Final = frozenset({"TRANSACTION_CONFLICT", "DEADLINE_EXCEEDED"})

_log = logging.getLogger(__name__)


class NoteChange(Protocol):
    """A function that notes a change of the sessions and bytes of a tenant and a user."""

    def __call__(
        self, tenant_id: str, user_id: str | None, *, sessions: int = 0, size_bytes: int = 0
    ) -> None:
        """Note a change that is committed."""


def job(note: NoteChange | None = None) -> Job:
    """Return the job. Its sweep begins at the first summary.

    Args:
        note: Notes the sessions and bytes that are removed.
    """
    return Job("retention", _Retention(note).run_once, INTERVAL_SECONDS, 4 * INTERVAL_SECONDS)


class _Retention:
    """The job and its state: the position of the sweep of summaries."""

    def __init__(self, note: NoteChange | None) -> None:
        self._note = note
        self._position = void_summaries.START

    async def run_once(self, database: JobDatabase) -> None:
        """Purge all sessions that are due, then examine the next summaries."""
        skipped: list[str] = []
        while await purge_batch(database, skipped, self._note):
            pass
        self._position = await sweep_slice(database, self._position)


async def purge_batch(
    database: Database | JobDatabase, skipped: list[str], note: NoteChange | None = None
) -> int:
    """Purge some sessions that are due, each in its own transaction; return the number of attempts.

    Args:
        database: The database of the sessions.
        skipped: The keys of sessions to leave for the next run. The function adds the keys of sessions that
            it cannot purge now.
        note: Notes the sessions and bytes that are removed.
    """
    keys = await database.read(lambda c: purging.due(c, besides=skipped, limit=BATCH_SESSIONS))
    for key in keys:
        with _leaving(key, skipped):
            purged = await database.write(partial(purging.purge_due, session_key=key))
            if purged is not None:
                _record(purged, note)
    return len(keys)


async def sweep_slice(database: Database | JobDatabase, after: SweepPosition) -> SweepPosition:
    """Examine some summaries after a position, and remove the void ones; return the next position.

    If a session is locked, its summaries are left for the next sweep.
    """
    keys, end = await database.read(lambda c: void_summaries.find_suspects(c, after, limit=SLICE_SUMMARIES))
    for key in keys:
        with _leaving(key, []):
            await database.write(partial(void_summaries.remove_void, session_key=key), lock=key)
    return end


def _record(purged: Purged, note: NoteChange | None) -> None:
    """Write a purge into the trail, and note the sessions and bytes that are removed."""
    trail.write(Subject(purged.tenant_id, session_id=purged.session_id, act=trail.PURGE), "OK")
    if note is not None:
        note(purged.tenant_id, purged.user_id, sessions=-1, size_bytes=-purged.size_bytes)


@contextmanager
def _leaving(session_key: str, skipped: list[str]) -> Iterator[None]:
    """Leave a session that cannot be changed now for the next run."""
    try:
        yield
    except SessionHistoryError as error:
        if error.reason not in _SKIPPED:
            raise
        _log.warning("a session is locked or slow, and left for the next run", extra={"reason": error.reason})
        skipped.append(session_key)
