"""Copy a session with its messages and summaries, all of one snapshot, in one statement.

No row leaves the database, and no append waits. If Citus has distributed the sessions, ``steps`` copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.store.columns.message import SENT_COLUMNS
from sessionhistory_server.store.columns.session import (
    COLUMNS,
    COMPLETE_TIME,
    CONTENT,
    EXPIRE_TIME,
    session_parameters,
)
from sessionhistory_server.store.guard import SUMMARIES_IN_FORCE
from sessionhistory_server.store.room import UNLIMITED
from sessionhistory_server.store.session_ref import LIVE, OWNED
from sessionhistory_server.store.summaries import COPIED_COLUMNS as SUMMARY_COLUMNS
from sessionhistory_server.store.summaries import covered_last_exists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessionhistory_server.model.session import SessionContent
    from sessionhistory_server.store.postgres.connection import Connection, Row
    from sessionhistory_server.store.room import Room
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
    "last_sequence": "counted.newest_sequence",
    "unpinned_tokens": "counted.unpinned_tokens",
    "unpinned_bytes": "counted.unpinned_bytes",
    "pinned_count": "counted.pins",
    "revision": "1",
    "create_time": "now()",
    "update_time": "now()",
    "active_time": "counted.newest_time",
    "complete_time": COMPLETE_TIME,
    "expire_time": f"coalesce({EXPIRE_TIME}, expire_time)",
    "purge_time": f"coalesce({EXPIRE_TIME}, expire_time) + %(retention)s::interval",
    "token_counter": "case when counted.messages = 0 then %(token_counter)s::text else token_counter end",
    "parent_session_id": "source.session_id",
    "parent_sequence": "coalesce(%(parent_sequence)s::bigint, fork_sequence)",
    "compacted_through_sequence": "(select coalesce(max(through_sequence), 0) from summed_up)",
    "compacted_removed_count": "counted.newest_sequence - counted.messages",
}

COUNTED: Final = """
    select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
           coalesce(max(sequence), 0) as newest_sequence, coalesce(max(tokens_through), 0) as unpinned_tokens,
           coalesce(max(bytes_through), 0) as unpinned_bytes, count(*) filter (where pinned) as pins,
           greatest(max(create_time), now()) as newest_time
"""
"""The columns of the new session that its messages give, without their source."""

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
    {COUNTED} from copied
)
insert into sessions ({", ".join(_COPY)})
select {", ".join(_COPY.values())}
from source cross join counted
returning {COLUMNS}
"""

SWEEP: Final = """
delete from summaries
where session_key = %(new_key)s::uuid
  and not exists (select from sessions where session_key = %(new_key)s::uuid)
"""
"""SQL that removes the summaries that an older release left when it purged a session with the new id."""


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
    room: Room = UNLIMITED

    def parameters(self, parent_sequence: int | None = None) -> dict[str, Any]:
        """Return the parameters of the statements of a fork."""
        content = self.content
        return session_parameters(content._replace(labels=content.labels or None)._asdict()) | {
            "source_key": self.source.session_key,
            "source_id": self.source.session_id,
            "new_owner": self.new.user_id,
            "user_id": self.source.user_id,
            "bound_application_id": self.source.bound_application_id,
            "new_key": self.new.session_key,
            "new_id": self.new.session_id,
            "token_counter": self.token_counter,
            "retention": self.retention,
            "through": self.through_sequence,
            "keeps_title": self.keeps_title,
            "keeps_state": self.keeps_state,
            "parent_sequence": parent_sequence,
        }


async def copy(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> list[Row]:
    """Create a session from another one.

    Args:
        connection: The connection.
        wanted: The session to create.
        parent_sequence: The last sequence of the source, if the transaction has locked it.

    Returns:
        The new session as one row of ``COLUMNS``; no row if the caller has no such source.

    Raises:
        psycopg.errors.UniqueViolation: the new id is taken.
    """
    await connection.fetch(SWEEP, {"new_key": wanted.new.session_key})
    return await connection.fetch(_FORK, wanted.parameters(parent_sequence))
