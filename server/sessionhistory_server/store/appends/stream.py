"""The two steps of a streamed append: check that it may begin, and replace its interrupted message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import SessionHistoryError, session_not_found
from sessionhistory_server.store.appends import retries
from sessionhistory_server.store.appends.replace import replace_locked
from sessionhistory_server.store.appends.single import require_accepts
from sessionhistory_server.store.guard import NO_SESSION, read_holder, read_snapshot, require_usable
from sessionhistory_server.store.truncation import Tail

if TYPE_CHECKING:
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.guard import SessionSnapshot
    from sessionhistory_server.store.postgres.connection import Connection


async def check(connection: Connection, batch: Batch) -> None:
    """Check that a batch could be appended now.

    A retry of messages that are stored is allowed, even if the session is no longer active.

    Raises:
        NotFoundError: there is no such session for this caller.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
        LimitReachedError: there is no room for more messages, or for the session to create.
    """
    read = read_holder if batch.creates else read_snapshot
    try:
        _require_allowed(await read(connection, batch.ref), batch)
    except SessionHistoryError:
        # It may be a retry: read the session again, and the stored messages in the same snapshot.
        found = await retries.read_stored(connection, batch)
        if found is None:
            raise
        if not found.by_id:
            _require_allowed(found.session, batch)


def _require_allowed(found: SessionSnapshot | None, batch: Batch) -> None:
    """Require that a session, ``None`` if there is none, allows the append of a batch."""
    if found is None and not batch.creates:
        raise session_not_found(batch.ref.session_id)
    require_usable(found or NO_SESSION, batch.ref, creates=batch.creates)
    require_accepts(found or NO_SESSION, batch)
    if found is None and (refusal := batch.room.take_session()):
        raise refusal


async def replace_interrupted(connection: Connection, batch: Batch) -> bool:
    """Replace the session's last message if it has the batch's id and is INTERRUPTED.

    The session is locked first, so that no other write changes the interrupted message. An expected last
    sequence is the sequence before the interrupted message.

    Returns:
        Whether the caller must append again: the message is stored by now, or the interrupted message no
        longer exists.

    Raises:
        SessionHistoryError: as ``append``.
        OtherCounterError: the message must be counted by another counter.
    """
    async with connection.transaction():
        await read_snapshot(connection, batch.ref, lock=True)
        found = await retries.read_stored(connection, batch)
        if found is None or not found.by_id:
            return True
        (old,) = found.by_id.values()
        as_expected = batch.asked.expected_last_sequence in (None, old.sequence - 1)
        is_last = old.sequence == found.session.last_sequence
        if old.content.status != "INTERRUPTED" or not as_expected or not is_last:
            return False
        batch = batch.expecting(old.sequence)
        await replace_locked(connection, batch, Tail(batch.ref, old.sequence - 1), found.session)
    return True
