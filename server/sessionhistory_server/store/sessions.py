"""The rows of sessions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.errors import (
    FailedPreconditionError,
    session_exists,
    session_not_found,
)
from sessionhistory_server.model import Session
from sessionhistory_server.store.keys import session_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from sessionhistory_server.model import SessionContent
    from sessionhistory_server.store.connection import Connection, Row

FIELDS: Final = Session._fields
COLUMNS: Final = ", ".join(FIELDS)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MIN_MICROS: Final = -63_082_281_600_000_000
_MAX_MICROS: Final = 252_455_615_999_999_999

LIVE: Final = "delete_time is null and (expire_time is null or expire_time > now())"
# coalesce: an expression of the index and of nothing else, so that only who means it is led to it.
OPEN: Final = "coalesce(status = 'ACTIVE' and delete_time is null, false)"

OWNED: Final = "(%(user_id)s::text is null or user_id = %(user_id)s::text)"
NAMED: Final = f"session_key = %(session_key)s::uuid and {OWNED}"


class SessionRef(NamedTuple):
    """A session as a caller names it; with a ``user_id`` it must be that user's."""

    session_key: str
    session_id: str
    user_id: str | None

    @classmethod
    def of(cls, tenant_id: str, session_id: str, user_id: str | None) -> Self:
        """Return the session of a tenant."""
        return cls(session_key(tenant_id, session_id), session_id, user_id)


def timestamp(micros: int | None) -> datetime | None:
    """Return a time of the service as what psycopg sends for a timestamptz.

    Times outside the years 1 to 9999 become the first or the last of them.
    """
    if micros is None:
        return None
    return _EPOCH + timedelta(microseconds=min(max(micros, _MIN_MICROS), _MAX_MICROS))


NEW_SESSION_COLUMNS: Final = """
    session_key, tenant_id, session_id, user_id, title, model, status, labels, metadata, state,
    history_max_messages, history_token_budget, message_count, total_tokens, last_sequence,
    unpinned_tokens, unpinned_bytes, pinned_count, revision,
    create_time, update_time, active_time, complete_time, expire_time, purge_time, token_counter
"""

EXPIRE_TIME: Final = (
    "coalesce(%(expire_time)s::timestamptz, now() + %(ttl)s::bigint * interval '1 microsecond')"
)

# The counters are those of the messages that are stored with the session, zero if there are none.
NEW_SESSION_VALUES: Final = f"""
    %(session_key)s::uuid, %(tenant_id)s::text, %(session_id)s::text, %(owner)s::text, %(title)s::text,
    %(model)s::text, %(status)s::text, %(labels)s::jsonb, %(metadata)s::text, %(state)s::text,
    %(history_max_messages)s::integer, %(history_token_budget)s::integer,
    %(count)s::bigint, %(tokens)s::bigint, %(count)s::bigint,
    %(unpinned_tokens)s::bigint, %(unpinned_bytes)s::bigint, %(pinned_count)s::integer, 1,
    now(), now(), now(), case when %(status)s::text = 'ACTIVE' then null else now() end,
    {EXPIRE_TIME}, {EXPIRE_TIME} + %(retention)s::interval, %(token_counter)s::text
"""

_CREATE: Final = f"""
insert into sessions ({NEW_SESSION_COLUMNS}) values ({NEW_SESSION_VALUES})
on conflict (session_key) do nothing
returning {COLUMNS}
"""

_GET: Final = f"select {COLUMNS} from sessions where {NAMED} and {LIVE}"

_IS_TAKEN: Final = "select true from sessions where session_key = %(session_key)s::uuid"

_DELETE: Final = f"""
update sessions
set delete_time = now(), purge_time = now() + %(retention)s::interval,
    update_time = now(), revision = revision + 1
where {NAMED} and {LIVE}
returning {COLUMNS}
"""

_UNDELETE: Final = f"""
update sessions
set delete_time = null,
    expire_time = case when expire_time > now() then expire_time end,
    purge_time = case when expire_time > now() then expire_time + %(retention)s::interval end,
    update_time = now(), revision = revision + 1
where {NAMED} and not ({LIVE}) and purge_time > now()
returning {COLUMNS}
"""


def new_session_parameters(
    tenant_id: str, ref: SessionRef, content: SessionContent, token_counter: str, retention: timedelta
) -> dict[str, Any]:
    """Return the parameters of ``NEW_SESSION_VALUES`` for a session without messages."""
    values = content._asdict()
    return values | {
        "session_key": ref.session_key,
        "tenant_id": tenant_id,
        "session_id": ref.session_id,
        "owner": content.user_id,
        "labels": json.dumps(content.labels or {}),
        "expire_time": timestamp(content.expire_time),
        "retention": retention,
        "token_counter": token_counter,
        "count": 0,
        "tokens": 0,
        "unpinned_tokens": 0,
        "unpinned_bytes": 0,
        "pinned_count": 0,
    }


async def create(
    connection: Connection,
    tenant_id: str,
    ref: SessionRef,
    content: SessionContent,
    *,
    token_counter: str,
    retention: timedelta,
    allow_existing: bool,
) -> tuple[Session, bool]:
    """Create a session, or with ``allow_existing`` return the live one there if it is ``ref.user_id``'s.

    Returns:
        The session, and whether it was created.

    Raises:
        AlreadyExistsError: the id is taken.
    """
    parameters = new_session_parameters(tenant_id, ref, content, token_counter, retention)
    while True:
        if session := await _one(connection, _CREATE, parameters):
            return session, True
        existing = await _one(connection, _GET, ref._asdict()) if allow_existing else None
        if existing:
            return existing, False
        if await is_taken(connection, ref):
            raise session_exists(ref.session_id)


async def is_taken(connection: Connection, ref: SessionRef) -> bool:
    """Return whether there is a row with the id, live or not, whoever owns it."""
    return bool(await connection.fetch(_IS_TAKEN, {"session_key": ref.session_key}))


async def get(connection: Connection, ref: SessionRef) -> Session:
    """Return a live session.

    Raises:
        NotFoundError: there is none for this caller.
    """
    return _found(await _one(connection, _GET, ref._asdict()), ref)


async def delete(connection: Connection, ref: SessionRef, *, retention: timedelta) -> Session:
    """Delete a live session softly, restorable for ``retention``.

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
    if restored := await _one(connection, _UNDELETE, parameters):
        return restored
    await get(connection, ref)
    raise FailedPreconditionError(
        f"session {ref.session_id!r} is not deleted",
        reason="SESSION_NOT_DELETED",
        session_id=ref.session_id,
    )


def session_of(row: Row) -> Session:
    """Return the session in a row of the columns ``FIELDS``."""
    return Session._make(row)


async def _one(connection: Connection, query: LiteralString, parameters: Mapping[str, Any]) -> Session | None:
    found = await connection.fetch(query, parameters)
    return session_of(found[0]) if found else None


def _found(session: Session | None, ref: SessionRef) -> Session:
    if session is None:
        raise session_not_found(ref.session_id)
    return session
