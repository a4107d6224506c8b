"""Find the active session of a user, or create one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.store.advisory_locks import lock_creation, lock_user
from sessionhistory_server.store.columns.session import COLUMNS, session_of
from sessionhistory_server.store.session_ref import LIVE, OPEN
from sessionhistory_server.store.sessions import lifecycle

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.sessions.lifecycle import NewSession

_NEWEST: Final = f"""
select {COLUMNS} from sessions
where tenant_id = %(tenant_id)s::text and user_id = %(user_id)s::text and {OPEN} and {LIVE}
  and (%(application_id)s::text is null or application_id = %(application_id)s::text)
order by active_time desc, session_key desc
limit 1
"""


async def newest(
    connection: Connection, tenant_id: str, user_id: str, application_id: str | None
) -> Session | None:
    """Return the live ACTIVE session of a user with the latest activity, ``None`` if there is none.

    With an ``application_id`` only sessions of that application count.
    """
    asked = {"tenant_id": tenant_id, "user_id": user_id, "application_id": application_id}
    found = await connection.fetch(_NEWEST, asked)
    return session_of(found[0]) if found else None


async def newest_or_new(connection: Connection, new: NewSession) -> tuple[Session, bool]:
    """Return a user's newest active session, or create one. Of concurrent calls, only one creates it.

    If its content names an application, only sessions of that application count. The transaction locks a
    number that stands for the user, because there is no row to lock. Other calls that create sessions do not
    lock the user.

    Returns:
        The session, and whether it was created.

    Raises:
        AlreadyExistsError: the id of the session to create is taken.
        LimitReachedError: there is no room for the session.
    """
    user_id, application_id = new.ref.user_id or "", new.content.application_id
    async with connection.transaction():
        await lock_user(connection, new.tenant_id, user_id)
        if found := await newest(connection, new.tenant_id, user_id, application_id):
            return found, False
        if connection.is_distributed:
            await lock_creation(connection, new.tenant_id, user_id, new.ref.session_key)
            if found := await newest(connection, new.tenant_id, user_id, application_id):
                return found, False
        return await lifecycle.create(connection, new, allow_existing=False)
