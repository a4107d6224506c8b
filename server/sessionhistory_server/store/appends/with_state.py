"""Append messages and change the session's state in one transaction.

The session's row is locked first, so that no other write happens between the read and the write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.store.appends import retries, single
from sessionhistory_server.store.appends.replace import replace
from sessionhistory_server.store.guard import read_snapshot, require_usable
from sessionhistory_server.store.sessions import state

if TYPE_CHECKING:
    from sessionhistory_server.model.message import Appended
    from sessionhistory_server.model.session import StateChange
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection


async def append_with_state(connection: Connection, batch: Batch, change: StateChange) -> Appended:
    """Store a batch as ``append`` or ``replace`` does, and change the state, unless it is stored already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored with other content, or not together with the rest of the batch.
        FailedPreconditionError: the session is not active, would have too many pinned messages, or its state
            would be too large.
        AbortedError: its last sequence or its state's version is not the expected one.
        OtherCounterError: the messages must be counted by another counter.
    """
    async with connection.transaction():
        if batch.asked.keep_through_sequence is None:
            appended = await _lock_and_append(connection, batch)
        else:
            appended = await replace(connection, batch, batch.asked.keep_through_sequence)
        text, version = await state.read_locked(connection, batch.ref)
        if not appended.stored_before:
            new = await state.changed(batch.ref, change, text, version)
            if change.patch is not None:
                version = (await state.write(connection, batch.ref, new)).state_version
    return appended._replace(state_version=version)


async def _lock_and_append(connection: Connection, batch: Batch) -> Appended:
    """Lock the session, or create it, and store a batch as ``single.append`` does."""
    while True:
        found = await read_snapshot(connection, batch.ref, lock=True)
        if found is None:
            if made := await single.create(connection, batch):
                return made
            continue
        require_usable(found, batch.ref, creates=batch.creates)
        stored = await retries.read_stored(connection, batch)
        return (stored and retries.as_stored(batch, stored)) or await single.append(connection, batch)
