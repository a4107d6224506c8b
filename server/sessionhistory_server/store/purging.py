"""Removing sessions for good, with all they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.store.sessions import COLUMNS, NAMED, session_of

if TYPE_CHECKING:
    from sessionhistory_server.model import Session
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_PURGE: Final = f"delete from sessions where {NAMED} returning {COLUMNS}"

_PURGE_MESSAGES: Final = "delete from messages where session_key = %(session_key)s::uuid"

_PURGE_SUMMARIES: Final = "delete from summaries where session_key = %(session_key)s::uuid"

_DUE: Final = """
select session_key::text from sessions where purge_time <= now() order by purge_time limit %(limit)s::bigint
"""

# coalesce: so that the row is found by key, and not among all that are due.
_PURGE_DUE: Final = """
delete from sessions
where session_key = %(session_key)s::uuid and coalesce(purge_time <= now(), false)
returning true
"""


async def purge(connection: Connection, ref: SessionRef) -> Session:
    """Remove a session, live or not, with its messages and summaries.

    The session's row goes first: an append that holds its lock is waited for, a later one finds nothing.

    Raises:
        NotFoundError: there is none for this caller.
    """
    async with connection.transaction():
        purged = await connection.fetch(_PURGE, ref._asdict())
        if not purged:
            raise session_not_found(ref.session_id)
        await _purge_contents(connection, ref.session_key)
    return session_of(purged[0])


async def purge_due(connection: Connection, *, limit: int) -> int:
    """Remove up to ``limit`` sessions whose purge time has come, with all they hold, one by one.

    Returns:
        How many were found; fewer than ``limit`` means that none are left.
    """
    due = await connection.fetch(_DUE, {"limit": limit})
    for (due_key,) in due:
        key = {"session_key": due_key}
        async with connection.transaction():
            # Restored, or purged by another server, since it was found due.
            if await connection.fetch(_PURGE_DUE, key):
                await _purge_contents(connection, due_key)
    return len(due)


async def _purge_contents(connection: Connection, key: str) -> None:
    for statement in (_PURGE_MESSAGES, _PURGE_SUMMARIES):
        await connection.fetch(statement, {"session_key": key})
