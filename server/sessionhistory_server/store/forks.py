"""Create a session from another one: a fork, or the successor after a reset.

One statement copies the messages and their summaries, all of one snapshot. No row leaves the database, and no
append waits. If Citus has distributed the sessions, each table is read in a snapshot of its own. Then a lock
keeps the session from being removed meanwhile, so that no other session that gets its id is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg

from sessionhistory_server.errors import session_exists, session_not_found
from sessionhistory_server.model.session import ACTIVE
from sessionhistory_server.store.columns.message import SENT_COLUMNS
from sessionhistory_server.store.columns.session import (
    COLUMN_NAMES,
    COLUMNS,
    COMPLETE_TIME,
    CONTENT,
    EXPIRE_TIME,
    session_of,
    session_parameters,
)
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.guard import (
    SUMMARIES_IN_FORCE,
    read_snapshot,
    require_reached,
    session_not_active,
)
from sessionhistory_server.store.session_ref import LIVE, NAMED, OWNED
from sessionhistory_server.store.summaries import COPIED_COLUMNS as SUMMARY_COLUMNS
from sessionhistory_server.store.summaries import covered_last_exists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessionhistory_server.model.session import Session, SessionContent
    from sessionhistory_server.store.postgres.connection import Connection, Row
    from sessionhistory_server.store.session_ref import SessionRef

COPIED_COLUMNS: Final = ("sequence", "create_time", *SENT_COLUMNS)
"""The columns that a copy takes from a message: all but the session's key."""

# The columns of the new session: a field that the caller does not set is the original's.
_COPY: Final[Mapping[str, LiteralString]] = {
    "session_key": "%(new_key)s::uuid",
    "tenant_id": "tenant_id",
    "session_id": "%(new_id)s::text",
    "user_id": "coalesce(%(new_owner)s::text, user_id)",
    **{name: f"coalesce({value}, {name})" for name, value in CONTENT.items()},
    "title": f"coalesce({CONTENT['title']}, case when %(keeps_title)s::boolean then title end)",
    "status": CONTENT["status"],
    "state": f"coalesce({CONTENT['state']}, case when %(keeps_state)s::boolean then state end)",
    "message_count": "counted.messages",
    "total_tokens": "counted.tokens",
    "last_sequence": "counted.last_sequence",
    "unpinned_tokens": "counted.unpinned_tokens",
    "unpinned_bytes": "counted.unpinned_bytes",
    "pinned_count": "counted.pins",
    "revision": "1",
    "create_time": "now()",
    "update_time": "now()",
    "active_time": "counted.active_time",
    "complete_time": COMPLETE_TIME,
    "expire_time": f"coalesce({EXPIRE_TIME}, expire_time)",
    "purge_time": f"coalesce({EXPIRE_TIME}, expire_time) + %(retention)s::interval",
    "token_counter": "case when counted.messages = 0 then %(token_counter)s::text else token_counter end",
    "parent_session_id": "source.session_id",
    "parent_sequence": "coalesce(%(parent_sequence)s::bigint, fork_sequence)",
    "compacted_through_sequence": "(select coalesce(max(through_sequence), 0) from summed_up)",
    "compacted_removed_count": "counted.last_sequence - counted.messages",
}

# No "on conflict do nothing", which would leave the copied messages without a session.
_FORK: Final = f"""
with source as materialized (
    select *, coalesce(%(through)s::bigint, last_sequence) as fork_sequence, {SUMMARIES_IN_FORCE} as in_force
    from sessions
    where session_key = %(source_key)s::uuid and {OWNED} and {LIVE}
      and coalesce(%(through)s::bigint, 0) <= last_sequence
), copied as (
    insert into messages (session_key, {", ".join(COPIED_COLUMNS)})
    select %(new_key)s::uuid, {", ".join(f"original.{name}" for name in COPIED_COLUMNS)}
    from source cross join lateral (
        select * from messages
        where messages.session_key = %(source_key)s::uuid and messages.sequence <= source.fork_sequence
        order by messages.sequence
    ) as original
    returning sequence, create_time, token_count, pinned, tokens_through, bytes_through
), summed_up as (
    insert into summaries (session_key, {", ".join(SUMMARY_COLUMNS)})
    select %(new_key)s::uuid, {", ".join(f"original.{name}" for name in SUMMARY_COLUMNS)}
    from source cross join lateral (
        select * from summaries
        where summaries.session_key = %(source_key)s::uuid
          and through_sequence <= least(source.fork_sequence, source.compacted_through_sequence)
          and (source.in_force or {covered_last_exists("%(source_key)s::uuid")})
        order by through_sequence
    ) as original
    returning through_sequence
), counted as (
    select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
           coalesce(max(sequence), 0) as last_sequence, coalesce(max(tokens_through), 0) as unpinned_tokens,
           coalesce(max(bytes_through), 0) as unpinned_bytes, count(*) filter (where pinned) as pins,
           greatest(max(create_time), now()) as active_time
    from copied
)
insert into sessions ({", ".join(_COPY)})
select {", ".join(_COPY.values())}
from source cross join counted
returning {COLUMNS}
"""

# SQL that removes summaries that an older release left when it purged a session with the new id.
_SWEEP: Final = """
delete from summaries
where session_key = %(new_key)s::uuid
  and not exists (select from sessions where session_key = %(new_key)s::uuid)
"""

_CLOSE: Final = f"""
update sessions
set status = %(status)s::text, complete_time = now(), update_time = now(), revision = revision + 1
where {NAMED} and {LIVE} and status = '{ACTIVE}'
returning {COLUMNS}
"""


# An append does not wait for this lock.
_KEEP: Final = "select from sessions where session_key = %(source_key)s::uuid for key share"

# One snapshot of the session to copy and of the session that has the new id. The latter is the copy of an
# earlier attempt if it is live, the caller's, and a child of the former.
_BOTH: Final = f"""
select source.*, new.*
from (
    select {", ".join(f"{name} as source_{name}" for name in COLUMN_NAMES)} from sessions
    where session_key = %(source_key)s::uuid and {OWNED} and {LIVE}
) as source left join (
    select {COLUMNS}, coalesce((%(new_owner)s::text is null or user_id = %(new_owner)s::text) and {LIVE}
                               and parent_session_id = %(source_id)s::text, false) as is_copy,
        case when (%(new_owner)s::text is null or user_id = %(new_owner)s::text) and not ({LIVE})
             then purge_time end as held_until
    from sessions where session_key = %(new_key)s::uuid
) as new on true
"""


class Fork(NamedTuple):
    """A session to create from another one, the source. It keeps the fields that ``content`` does not set."""

    source: SessionRef
    new: SessionRef
    content: SessionContent
    token_counter: str
    """The counter of a new session without messages."""
    retention: timedelta
    through_sequence: int | None = None
    keeps_title: bool = True
    keeps_state: bool = True

    def parameters(self, parent_sequence: int | None = None) -> dict[str, Any]:
        """Return the parameters of the statements of a fork."""
        content = self.content
        return session_parameters(content._replace(labels=content.labels or None)._asdict()) | {
            "source_key": self.source.session_key,
            "source_id": self.source.session_id,
            "new_owner": self.new.user_id,
            "user_id": self.source.user_id,
            "new_key": self.new.session_key,
            "new_id": self.new.session_id,
            "token_counter": self.token_counter,
            "retention": self.retention,
            "through": self.through_sequence,
            "keeps_title": self.keeps_title,
            "keeps_state": self.keeps_state,
            "parent_sequence": parent_sequence,
        }


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
            made = await _make_alone(connection, wanted)
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
                    (made,) = await _make(connection, wanted, previous.last_sequence)
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


async def _make_alone(connection: Connection, wanted: Fork) -> list[Row]:
    if not connection.is_distributed:
        return await _make(connection, wanted)
    async with connection.transaction():
        await connection.fetch(_KEEP, {"source_key": wanted.source.session_key})
        return await _make(connection, wanted)


async def _make(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> list[Row]:
    await connection.fetch(_SWEEP, {"new_key": wanted.new.session_key})
    return await connection.fetch(_FORK, wanted.parameters(parent_sequence))


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
