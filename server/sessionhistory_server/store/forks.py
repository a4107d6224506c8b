"""New sessions made from others: forks, and what goes on after a reset.

The messages are copied by one statement, and the summaries of them, so of one moment: no row leaves the
database, and no append waits.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg

from sessionhistory_server.errors import NotFoundError, session_exists, session_not_found
from sessionhistory_server.model import ACTIVE
from sessionhistory_server.store import rows
from sessionhistory_server.store.compaction import COPIED as SUMMARY_COPIED
from sessionhistory_server.store.sessions import (
    COLUMNS,
    EXPIRE_TIME,
    LIVE,
    NAMED,
    OWNED,
    get,
    is_taken,
    session_of,
    timestamp,
)
from sessionhistory_server.store.standing import require_reached, session_not_active, standing

if TYPE_CHECKING:
    from datetime import timedelta

    from sessionhistory_server.model import Session, SessionContent
    from sessionhistory_server.store.connection import Connection, Row
    from sessionhistory_server.store.sessions import SessionRef

COPIED: Final = ("sequence", "create_time", *rows.SENT_COLUMNS.split(", "))
"""The columns of a message that a copy shares with it: all but the session's key."""

# No conflict is passed over: messages would be left without their session.
_FORK: Final = f"""
with source as materialized (
    select *, coalesce(%(up_to)s::bigint, last_sequence) as fork_sequence
    from sessions
    where session_key = %(source_key)s::uuid and {OWNED} and {LIVE}
      and coalesce(%(up_to)s::bigint, 0) <= last_sequence
), copied as (
    insert into messages (session_key, {", ".join(COPIED)})
    select %(new_key)s::uuid, {", ".join(f"original.{name}" for name in COPIED)}
    from source cross join lateral (
        select * from messages
        where messages.session_key = source.session_key and messages.sequence <= source.fork_sequence
        order by messages.sequence
    ) as original
    returning sequence, create_time, token_count, pinned, tokens_through, bytes_through
), summed_up as (
    insert into summaries (session_key, {", ".join(SUMMARY_COPIED)})
    select %(new_key)s::uuid, {", ".join(f"original.{name}" for name in SUMMARY_COPIED)}
    from source cross join lateral (
        select * from summaries
        where summaries.session_key = source.session_key
          and through_sequence <= least(source.fork_sequence, source.compacted_through_sequence)
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
insert into sessions (
    session_key, tenant_id, session_id, user_id, title, model, status, labels, metadata, state,
    history_max_messages, history_token_budget, message_count, total_tokens, last_sequence,
    unpinned_tokens, unpinned_bytes, pinned_count, revision,
    create_time, update_time, active_time, complete_time, expire_time, purge_time, token_counter,
    parent_session_id, parent_sequence, compacted_through_sequence
)
select %(new_key)s::uuid, tenant_id, %(new_id)s::text, coalesce(%(owner)s::text, user_id),
       coalesce(%(title)s::text, case when %(keeps_title)s::boolean then title end),
       coalesce(%(model)s::text, model), %(status)s::text, coalesce(%(labels)s::jsonb, labels),
       coalesce(%(metadata)s::text, metadata),
       coalesce(%(state)s::text, case when %(keeps_state)s::boolean then state end),
       coalesce(%(history_max_messages)s::integer, history_max_messages),
       coalesce(%(history_token_budget)s::integer, history_token_budget),
       counted.messages, counted.tokens, counted.last_sequence,
       counted.unpinned_tokens, counted.unpinned_bytes, counted.pins, 1,
       now(), now(), counted.active_time, case when %(status)s::text = '{ACTIVE}' then null else now() end,
       coalesce({EXPIRE_TIME}, expire_time), coalesce({EXPIRE_TIME}, expire_time) + %(retention)s::interval,
       case when counted.messages = 0 then %(token_counter)s::text else token_counter end,
       source.session_id, coalesce(%(parent_sequence)s::bigint, fork_sequence),
       (select coalesce(max(through_sequence), 0) from summed_up)
from source cross join counted
returning {COLUMNS}
"""

# Of a session that a release has purged which knows no summaries.
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


class Fork(NamedTuple):
    """A session to be made from another; what ``content`` does not say is the other one's."""

    source: SessionRef
    new: SessionRef
    content: SessionContent
    token_counter: str
    """The server's: of a session without messages."""
    retention: timedelta
    up_to_sequence: int | None = None
    keeps_title: bool = True
    keeps_state: bool = True

    def parameters(self, parent_sequence: int | None = None) -> dict[str, Any]:
        """Return the parameters of the statement that makes it."""
        content = self.content
        return content._asdict() | {
            "source_key": self.source.session_key,
            "user_id": self.source.user_id,
            "new_key": self.new.session_key,
            "new_id": self.new.session_id,
            "owner": content.user_id,
            "token_counter": self.token_counter,
            "labels": json.dumps(content.labels) if content.labels else None,
            "expire_time": timestamp(content.expire_time),
            "retention": self.retention,
            "up_to": self.up_to_sequence,
            "keeps_title": self.keeps_title,
            "keeps_state": self.keeps_state,
            "parent_sequence": parent_sequence,
        }


async def fork(connection: Connection, wanted: Fork, *, allow_existing: bool) -> tuple[Session, bool]:
    """Make a session with the messages of another; or with ``allow_existing`` return the one made before.

    Returns:
        The session, and whether it was made.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: the new id is taken.
        AbortedError: the session has not come as far as the given sequence.
    """
    while True:
        try:
            made = await _make(connection, wanted)
        except psycopg.errors.UniqueViolation:
            existing = await _made_before(connection, wanted) if allow_existing else None
            if existing and wanted.up_to_sequence in (None, existing.parent_sequence):
                return existing, False
            await _require_free(connection, wanted)
            continue
        if made:
            return session_of(made[0]), True
        found = await standing(connection, wanted.source)
        if found is None or not found.usable:
            raise session_not_found(wanted.source.session_id)
        require_reached(found, wanted.source, wanted.up_to_sequence or 0)


async def reset(connection: Connection, wanted: Fork, status: str) -> tuple[Session, Session]:
    """End an active session and make one that goes on in its place; or return what was made before.

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
            await _require_free(connection, wanted)
            continue
        previous = await get(connection, wanted.source)
        if previous.status == ACTIVE:
            continue
        if made_before := await _made_before(connection, wanted):
            return made_before, previous
        raise session_not_active(previous.session_id, previous.status)


async def _make(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> list[Row]:
    await connection.fetch(_SWEEP, {"new_key": wanted.new.session_key})
    return await connection.fetch(_FORK, wanted.parameters(parent_sequence))


async def _made_before(connection: Connection, wanted: Fork) -> Session | None:
    """Return the session that has the new id, if it is the caller's and was made like this."""
    try:
        existing = await get(connection, wanted.new)
    except NotFoundError:
        return None
    return existing if existing.parent_session_id == wanted.source.session_id else None


async def _require_free(connection: Connection, wanted: Fork) -> None:
    """Require that the new id is free by now."""
    if await is_taken(connection, wanted.new):
        raise session_exists(wanted.new.session_id)
