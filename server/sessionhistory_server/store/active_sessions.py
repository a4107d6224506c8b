"""The session in which a user is active: found by an index of its own kind, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.store import sessions
from sessionhistory_server.store.keys import user_lock
from sessionhistory_server.store.sessions import COLUMNS, LIVE, OPEN, session_of

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model import Session, SessionContent
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_NEWEST: Final = f"""
select {COLUMNS} from sessions
where tenant_id = %(tenant_id)s::text and user_id = %(user_id)s::text and {OPEN} and {LIVE}
order by active_time desc, session_key desc
limit 1
"""

_LOCK: Final = "select true from pg_advisory_xact_lock(%(key)s::bigint)"


async def newest(connection: Connection, tenant_id: str, user_id: str) -> Session | None:
    """Return the live ACTIVE session of a user with the latest activity, ``None`` if there is none."""
    found = await connection.fetch(_NEWEST, {"tenant_id": tenant_id, "user_id": user_id})
    return session_of(found[0]) if found else None


async def newest_or_new(
    connection: Connection,
    tenant_id: str,
    ref: SessionRef,
    content: SessionContent,
    *,
    token_counter: str,
    retention: timedelta,
) -> tuple[Session, bool]:
    """Return a user's newest active session, or make one; of calls at the same time one makes it.

    The user is locked for that, by number, as there is no row to lock; who makes sessions otherwise is not.

    Returns:
        The session, and whether it was created.

    Raises:
        AlreadyExistsError: the id of the session to make is taken.
    """
    user_id = content.user_id or ""
    async with connection.transaction():
        await connection.fetch(_LOCK, {"key": user_lock(tenant_id, user_id)})
        if found := await newest(connection, tenant_id, user_id):
            return found, False
        return await sessions.create(
            connection,
            tenant_id,
            ref,
            content,
            token_counter=token_counter,
            retention=retention,
            allow_existing=False,
        )
