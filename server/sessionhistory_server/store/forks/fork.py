"""Create a session from another one: a fork, or the successor after a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from sessionhistory_server.errors import session_exists, session_not_found
from sessionhistory_server.model.session import ACTIVE
from sessionhistory_server.store.columns.session import (
    COLUMN_NAMES,
    COLUMNS,
    session_of,
)
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.forks import copying, steps
from sessionhistory_server.store.guard import (
    read_snapshot,
    require_reached,
    session_not_active,
)
from sessionhistory_server.store.session_ref import LIVE, NAMED, OWNED

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.forks.copying import Fork
    from sessionhistory_server.store.postgres.connection import Connection, Row

_CLOSE: Final = f"""
update sessions
set status = %(status)s::text, complete_time = now(), update_time = now(), revision = revision + 1
where {NAMED} and {LIVE} and status = '{ACTIVE}'
returning {COLUMNS}
"""

_NEW_IS_OWNED: Final = OWNED.replace("%(user_id)s", "%(new_owner)s")

# One snapshot of the session to copy and of the session that has the new id. The latter is the copy of an
# earlier attempt if it is live, the caller's, and a child of the former.
_BOTH: Final = f"""
select source.*, new.*
from (
    select {", ".join(f"{name} as source_{name}" for name in COLUMN_NAMES)} from sessions
    where session_key = %(source_key)s::uuid and {OWNED} and {LIVE}
) as source left join (
    select {COLUMNS}, coalesce({_NEW_IS_OWNED} and {LIVE}
                               and parent_session_id = %(source_id)s::text, false) as is_copy,
        case when {_NEW_IS_OWNED} and not ({LIVE})
             then purge_time end as held_until
    from sessions where session_key = %(new_key)s::uuid
) as new on true
"""


class _Taken(NamedTuple):
    """A session that has the id of the session to create."""

    session: Session
    is_copy: bool
    """Whether the session is the copy that an earlier attempt created."""
    held_until: int | None
    """The purge time of the session, if it is deleted or expired and the caller owns it."""


async def fork(connection: Connection, wanted: Fork, *, allow_existing: bool) -> tuple[Session, bool]:
    """Create a session with the messages of another, or with ``allow_existing`` return an earlier copy.

    Returns:
        The session, and whether it was created.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: the new id is taken.
        AbortedError: the source's last sequence is before the given one.
    """
    while True:
        try:
            made = await _copy(connection, wanted)
        except psycopg.errors.UniqueViolation:
            _, taken = await _read_both(connection, wanted)
            if taken is None:
                continue
            if (
                allow_existing
                and taken.is_copy
                and wanted.through_sequence in (None, taken.session.parent_through_sequence)
            ):
                return taken.session, False
            raise session_exists(wanted.new.session_id, timestamp(taken.held_until)) from None
        if made:
            return session_of(made[0]), True
        found = await read_snapshot(connection, wanted.source)
        if found is None or not found.usable:
            raise session_not_found(wanted.source.session_id)
        require_reached(found, wanted.source, wanted.through_sequence or 0)


async def reset(connection: Connection, wanted: Fork, status: str) -> tuple[Session, Session]:
    """End an active session and create one that continues it, or return those of an earlier attempt.

    Returns:
        The new session, and the old one.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: the new id is taken.
        FailedPreconditionError: the session is not active.
    """
    closing = wanted.source._asdict() | {"status": status}
    while True:
        try:
            async with connection.transaction():
                if closed := await connection.fetch(_CLOSE, closing):
                    previous = session_of(closed[0])
                    (made,) = await _copy(connection, wanted, previous.last_sequence)
                    return session_of(made), previous
        except psycopg.errors.UniqueViolation:
            pass
        previous, taken = await _read_both(connection, wanted)
        if previous.status != ACTIVE:
            if taken and taken.is_copy:
                return taken.session, previous
            raise session_not_active(previous.session_id, previous.status)
        if taken:
            raise session_exists(wanted.new.session_id, timestamp(taken.held_until))


async def _copy(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> list[Row]:
    copy = steps.copy if connection.is_distributed else copying.copy
    return await copy(connection, wanted, parent_sequence)


async def _read_both(connection: Connection, wanted: Fork) -> tuple[Session, _Taken | None]:
    """Return the session to copy, and the session with the new id; ``None`` if the id is free.

    Raises:
        NotFoundError: this caller has no such session to copy.
    """
    found = await connection.fetch(_BOTH, wanted.parameters())
    if not found:
        raise session_not_found(wanted.source.session_id)
    source, new = found[0][: len(COLUMN_NAMES)], found[0][len(COLUMN_NAMES) :]
    taken = None if new[0] is None else _Taken(session_of(new[:-2]), *new[-2:])
    return session_of(source), taken
