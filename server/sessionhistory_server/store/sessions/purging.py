"""Remove sessions permanently, with all their messages and summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.store.columns.session import COLUMNS, session_of
from sessionhistory_server.store.session_ref import NAMED
from sessionhistory_server.store.truncation import MAX_REMOVED, REMOVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

_PURGE: Final = f"delete from sessions where {NAMED} returning {COLUMNS}"

_PURGE_MESSAGES: Final = f"""{REMOVED}
select count(*), max(sequence), coalesce(sum(size_bytes), 0)::bigint from removed
"""

_PURGE_SUMMARIES: Final = """
with removed as (
    delete from summaries where session_key = %(session_key)s::uuid returning size_bytes
)
select coalesce(sum(size_bytes), 0)::bigint from removed
"""

_DUE: Final = """
select session_key::text from sessions
where purge_time <= now() and session_key <> all(%(besides)s::uuid[])
order by purge_time
limit %(limit)s::bigint
"""

# coalesce: the planner finds the row by its key, not among all due sessions. (select now()): Citus allows no
# now() in a coalesce of a delete.
_PURGE_DUE: Final = """
delete from sessions
where session_key = %(session_key)s::uuid and coalesce(purge_time <= (select now()), false)
returning tenant_id, session_id, user_id
"""


class Purged(NamedTuple):
    """A session that was due, and is removed."""

    tenant_id: str
    session_id: str
    user_id: str | None
    size_bytes: int
    """The bytes of its messages and summaries."""


async def purge(connection: Connection, ref: SessionRef) -> Session:
    """Remove a session, live or not, with its messages and summaries.

    The session's row is removed first. The removal waits for an append that has locked the row, and later
    appends do not find it.

    Raises:
        NotFoundError: there is none for this caller.
    """
    async with connection.transaction():
        purged = await connection.fetch(_PURGE, ref._asdict())
        if not purged:
            raise session_not_found(ref.session_id)
        await _purge_contents(connection, ref.session_key)
    return session_of(purged[0])


async def due(connection: Connection, *, besides: Sequence[str], limit: int) -> list[str]:
    """Return the keys of up to ``limit`` sessions whose purge time has come, except those in ``besides``."""
    found = await connection.fetch(_DUE, {"besides": list(besides), "limit": limit})
    return [key for (key,) in found]


async def purge_due(connection: Connection, session_key: str) -> Purged | None:
    """Remove a session if its purge time has come, with its messages and summaries.

    Returns:
        The session; ``None``: it was restored, or another server has purged it.
    """
    async with connection.transaction():
        purged = await connection.fetch(_PURGE_DUE, {"session_key": session_key})
        if not purged:
            return None
        size_bytes = await _purge_contents(connection, session_key)
    tenant_id, session_id, user_id = purged[0]
    return Purged(tenant_id, session_id, user_id, size_bytes)


async def _purge_contents(connection: Connection, key: str) -> int:
    """Remove the messages and summaries of a session; return their bytes."""
    removed, after, size_bytes = MAX_REMOVED, 0, 0
    while removed == MAX_REMOVED:
        parameters = {"session_key": key, "after": after, "limit": MAX_REMOVED}
        ((removed, after, removed_bytes),) = await connection.fetch(_PURGE_MESSAGES, parameters)
        size_bytes += removed_bytes
    ((removed_bytes,),) = await connection.fetch(_PURGE_SUMMARIES, {"session_key": key})
    return size_bytes + int(removed_bytes)
