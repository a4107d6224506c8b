"""Appends that change the state with their messages, or expect something of it.

The session's row is locked first, so that messages and state are one commit and nothing comes between what is
read and what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.store import append, state, truncation
from sessionhistory_server.store.standing import standing

if TYPE_CHECKING:
    from sessionhistory_server.model import Appended, StateChange
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.connection import Connection


async def append_with_state(
    connection: Connection, batch: Batch, change: StateChange, *, replace_after_sequence: int | None
) -> Appended:
    """Store a batch, as ``append`` or ``replace`` does, and change the state; a batch stored before does not.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored otherwise than in this batch.
        FailedPreconditionError: the session is not active, would have too many pinned messages, or its state
            would be too large.
        AbortedError: its last sequence or its state's version is not the expected one.
        OtherCounterError: the messages must be counted by another counter.
    """
    async with connection.transaction():
        if replace_after_sequence is None:
            appended = await _append(connection, batch)
        else:
            appended = await truncation.replace(connection, batch, replace_after_sequence)
        text, version = await state.of_locked(connection, batch.ref)
        if not appended.stored_before:
            new = await state.changed(batch.ref, change, text, version)
            if change.patch is not None:
                version = (await state.write(connection, batch.ref, new)).state_version
    return appended._replace(state_version=version)


async def _append(connection: Connection, batch: Batch) -> Appended:
    while True:
        found = await standing(connection, batch.ref, lock=True)
        if found is None:
            if made := await append.create(connection, batch):
                return made
            continue
        if not found.usable:
            raise session_not_found(batch.ref.session_id)
        return await append.find_stored(connection, batch, found) or await append.append(connection, batch)
