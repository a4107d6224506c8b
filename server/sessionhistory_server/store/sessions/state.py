"""Patch the state of a session under the lock of its row, so that no patch is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import AbortedError, FailedPreconditionError, session_not_found
from sessionhistory_server.limits import MAX_STATE_BYTES
from sessionhistory_server.model.merge_patch import merge
from sessionhistory_server.store.columns.session import (
    COLUMNS,
    CONTENT,
    STATE_COLUMNS,
    session_of,
    session_parameters,
    state_of,
)
from sessionhistory_server.store.session_ref import LIVE, NAMED

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Session, StateChange
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

# The merge of a text of this length takes at most some milliseconds, with any content.
_MAX_CHARACTERS_AT_ONCE: Final = 16_384

_LOCK: Final = f"select {STATE_COLUMNS} from sessions where {NAMED} and {LIVE} for update"

_READ_LOCKED: Final = f"select {STATE_COLUMNS} from sessions where session_key = %(session_key)s::uuid"

_SET: Final = f"""
update sessions
set state = {CONTENT["state"]}, state_version = state_version + 1,
    update_time = now(), revision = revision + 1
where session_key = %(session_key)s::uuid
returning {COLUMNS}
"""


async def patch(connection: Connection, ref: SessionRef, change: StateChange) -> Session:
    """Patch the state of a live session.

    Raises:
        NotFoundError: there is none for this caller.
        AbortedError: its state has another version than the expected one.
        FailedPreconditionError: the state would be too large.
    """
    async with connection.transaction():
        found = await connection.fetch(_LOCK, ref._asdict())
        if not found:
            raise session_not_found(ref.session_id)
        return await write(connection, ref, await changed(ref, change, *state_of(found[0])))


async def read_locked(connection: Connection, ref: SessionRef) -> tuple[str | None, int]:
    """Return the state, and its version, of a session whose row the transaction has locked."""
    (row,) = await connection.fetch(_READ_LOCKED, {"session_key": ref.session_key})
    return state_of(row)


async def write(connection: Connection, ref: SessionRef, state: str | None) -> Session:
    """Set the state of a session whose row the transaction has locked."""
    parameters = session_parameters({"state": state}) | {"session_key": ref.session_key}
    (row,) = await connection.fetch(_SET, parameters)
    return session_of(row)


async def changed(ref: SessionRef, change: StateChange, state: str | None, version: int) -> str | None:
    """Return the state after a change.

    Raises:
        AbortedError: the caller expects another version.
        FailedPreconditionError: the state would be too large.
    """
    if change.expected_version not in (None, version):
        raise AbortedError(
            f"the state of session {ref.session_id!r} has version {version}, not {change.expected_version}",
            reason="STATE_VERSION_MISMATCH",
            session_id=ref.session_id,
            actual_state_version=str(version),
        )
    if change.patch is None:
        return state
    merged = await _merged(state or "{}", change.patch)
    size = len(merged.encode())
    if size > MAX_STATE_BYTES:
        raise FailedPreconditionError(
            f"the state of session {ref.session_id!r} would have {size} bytes, more than {MAX_STATE_BYTES}",
            reason="STATE_TOO_LARGE",
            session_id=ref.session_id,
            size_bytes=str(size),
            max_bytes=str(MAX_STATE_BYTES),
        )
    return merged


async def _merged(target: str, patch: str) -> str:
    """Merge a patch; merge a large one in a thread, so that the event loop serves other calls meanwhile."""
    if len(target) + len(patch) <= _MAX_CHARACTERS_AT_ONCE:
        return merge(target, patch)
    return await asyncio.to_thread(merge, target, patch)
