"""Create a session from another one: a fork, or the successor after a reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from sessionhistory_server.errors import session_exists, session_not_found
from sessionhistory_server.model.session import ACTIVE
from sessionhistory_server.store import usage
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
from sessionhistory_server.store.postgres.transactions import joined_transaction
from sessionhistory_server.store.room import UNLIMITED
from sessionhistory_server.store.session_ref import LIVE, NAMED, OWNED

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.forks.copying import Fork
    from sessionhistory_server.store.postgres.connection import Connection

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


class Copied(NamedTuple):
    """A session that was created from another one, now or by an earlier attempt."""

    session: Session
    created: bool
    """Whether it was created now."""
    size_bytes: int = 0
    """The bytes of its messages and summaries; 0 if its room is ``UNLIMITED`` or it existed."""


async def fork(connection: Connection, wanted: Fork, *, allow_existing: bool) -> Copied:
    """Create a session with the messages of another, or with ``allow_existing`` return an earlier copy.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: the new id is taken.
        AbortedError: the source's last sequence is before the given one.
        LimitReachedError: there is no room for the copy.
    """
    refusal = wanted.room.take_session() or wanted.room.take_bytes(0)
    while True:
        try:
            made = None if refusal else await _copy(connection, wanted)
        except psycopg.errors.UniqueViolation:
            _, taken = await _read_both(connection, wanted)
            if taken is None:
                continue
            return _earlier_copy(wanted, taken, allow_existing=allow_existing)
        if made:
            return made
        if refusal:
            _, taken = await _read_both(connection, wanted)
            if taken is None:
                raise refusal
            return _earlier_copy(wanted, taken, allow_existing=allow_existing)
        found = await read_snapshot(connection, wanted.source)
        if found is None or not found.usable:
            raise session_not_found(wanted.source.session_id)
        require_reached(found, wanted.source, wanted.through_sequence or 0)


def _earlier_copy(wanted: Fork, taken: _Taken, *, allow_existing: bool) -> Copied:
    """Return the session that has the new id, if it is the wanted copy, and may exist."""
    same = wanted.through_sequence in (None, taken.session.parent_through_sequence)
    if allow_existing and taken.is_copy and same:
        return Copied(taken.session, created=False)
    raise session_exists(wanted.new.session_id, timestamp(taken.held_until))


async def reset(connection: Connection, wanted: Fork, status: str) -> tuple[Copied, Session]:
    """End an active session and create one that continues it, or return those of an earlier attempt.

    Returns:
        The new session, and the old one.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: the new id is taken.
        FailedPreconditionError: the session is not active.
        LimitReachedError: there is no room for the new session.
    """
    refusal = wanted.room.take_session() or wanted.room.take_bytes(0)
    closing = wanted.source._asdict() | {"status": status}
    while True:
        try:
            async with connection.transaction():
                if closed := await connection.fetch(_CLOSE, closing):
                    if refusal:
                        raise refusal
                    previous = session_of(closed[0])
                    made = await _copy(connection, wanted, previous.last_sequence)
                    assert made is not None  # noqa: S101 - the transaction has locked the source
                    return made, previous
        except psycopg.errors.UniqueViolation:
            pass
        previous, taken = await _read_both(connection, wanted)
        if previous.status != ACTIVE:
            if taken and taken.is_copy:
                return Copied(taken.session, created=False), previous
            raise session_not_active(previous.session_id, previous.status)
        if taken:
            raise session_exists(wanted.new.session_id, timestamp(taken.held_until))


async def _copy(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> Copied | None:
    """Create the session; return ``None`` if the caller has no such source.

    Raises:
        LimitReachedError: there is no room for its messages. Only the copy has their number and bytes.
    """
    copy = steps.copy if connection.is_distributed else copying.copy
    if wanted.room is UNLIMITED:
        rows = await copy(connection, wanted, parent_sequence)
        return Copied(session_of(rows[0]), created=True) if rows else None
    async with joined_transaction(connection):
        rows = await copy(connection, wanted, parent_sequence)
        if not rows:
            return None
        session = session_of(rows[0])
        measured = await usage.measure(connection, wanted.new)
        size_bytes = measured.bytes if measured else 0
        wanted.room.require_messages(session.session_id, 0, session.message_count)
        if refusal := wanted.room.take_bytes(size_bytes):
            raise refusal
        return Copied(session, created=True, size_bytes=size_bytes)


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
