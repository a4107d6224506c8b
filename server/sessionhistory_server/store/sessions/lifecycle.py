"""Create, get, delete and restore sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.errors import FailedPreconditionError, session_exists, session_not_found
from sessionhistory_server.store.columns.session import (
    COLUMNS,
    INSERT_SESSION,
    new_session_parameters,
    session_of,
)
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.room import UNLIMITED
from sessionhistory_server.store.session_ref import HELD_UNTIL, LIVE, NAMED, OWNED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessionhistory_server.model.session import Session, SessionContent
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.room import Room
    from sessionhistory_server.store.session_ref import SessionRef

_CREATE: Final = f"{INSERT_SESSION} returning {COLUMNS}"

_GET: Final = f"select {COLUMNS} from sessions where {NAMED} and {LIVE}"

# The session with the id, whether it is live and the caller's, and the time until which it holds the id.
_TAKEN: Final = f"""
select {COLUMNS}, ({OWNED} and {LIVE}), {HELD_UNTIL} from sessions where session_key = %(session_key)s::uuid
"""

_DELETE: Final = f"""
update sessions
set delete_time = now(), purge_time = now() + %(retention)s::interval,
    update_time = now(), revision = revision + 1
where {NAMED} and {LIVE}
returning {COLUMNS}
"""

# coalesce: the planner finds the row by its key, not by its purge time. (select now()): Citus allows no now()
# in a coalesce or a case of an update, nor the sum of a time and an interval.
_RESTORABLE: Final = f"not ({LIVE}) and coalesce(purge_time > (select now()), false)"

_COMING_EXPIRY: Final = "case when expire_time > (select now()) then expire_time end"

_UNDELETE: Final = f"""
update sessions
set delete_time = null, expire_time = {_COMING_EXPIRY},
    purge_time = {_COMING_EXPIRY} + %(retention)s::interval,
    update_time = now(), revision = revision + 1
where {NAMED} and {_RESTORABLE}
returning {COLUMNS}
"""

_DELETION: Final = f"""
select {LIVE}, {_RESTORABLE} from sessions where {NAMED}
"""


class NewSession(NamedTuple):
    """A session to create, without messages."""

    tenant_id: str
    ref: SessionRef
    content: SessionContent
    token_counter: str
    retention: timedelta
    room: Room = UNLIMITED


async def create(connection: Connection, new: NewSession, *, allow_existing: bool) -> tuple[Session, bool]:
    """Create a session, or with ``allow_existing`` return the caller's live session with the id.

    Returns:
        The session, and whether it was created.

    Raises:
        AlreadyExistsError: the id is taken.
        LimitReachedError: there is no room for the session.
    """
    ref = new.ref
    refusal = new.room.take_session()
    parameters = new_session_parameters(new.tenant_id, ref, new.content, new.token_counter, new.retention)
    while True:
        if not refusal and (session := await _one(connection, _CREATE, parameters)):
            return session, True
        for *existing, usable, held_until in await connection.fetch(_TAKEN, ref._asdict()):
            if allow_existing and usable:
                return session_of(tuple(existing)), False
            raise session_exists(ref.session_id, timestamp(held_until))
        if refusal:
            raise refusal


async def get(connection: Connection, ref: SessionRef) -> Session:
    """Return a live session.

    Raises:
        NotFoundError: there is none for this caller.
    """
    return _found(await _one(connection, _GET, ref._asdict()), ref)


async def delete(connection: Connection, ref: SessionRef, *, retention: timedelta) -> Session:
    """Delete a live session. It can be restored for ``retention``.

    Raises:
        NotFoundError: there is none for this caller.
    """
    parameters = ref._asdict() | {"retention": retention}
    return _found(await _one(connection, _DELETE, parameters), ref)


async def undelete(connection: Connection, ref: SessionRef, *, retention: timedelta) -> Session:
    """Restore a deleted or expired session.

    Raises:
        FailedPreconditionError: it is live.
        NotFoundError: there is none for this caller, or its purge time has come.
    """
    parameters = ref._asdict() | {"retention": retention}
    while True:
        if restored := await _one(connection, _UNDELETE, parameters):
            return restored
        # One snapshot shows the reason. If it shows none, the session has changed since the update.
        deletion = await connection.fetch(_DELETION, ref._asdict())
        live, restorable = deletion[0] if deletion else (False, False)
        if live:
            raise _not_deleted(ref)
        if not restorable:
            raise session_not_found(ref.session_id)


async def _one(connection: Connection, query: LiteralString, parameters: Mapping[str, Any]) -> Session | None:
    found = await connection.fetch(query, parameters)
    return session_of(found[0]) if found else None


def _not_deleted(ref: SessionRef) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"session {ref.session_id!r} is not deleted",
        reason="SESSION_NOT_DELETED",
        session_id=ref.session_id,
    )


def _found(session: Session | None, ref: SessionRef) -> Session:
    if session is None:
        raise session_not_found(ref.session_id)
    return session
