"""Copy a session between the machines of Citus, with a statement for each table.

In one statement Citus would involve all machines, also those that have neither session. Each statement has a
snapshot of its own. The lock of the source keeps it from being removed meanwhile, so that no other session
that gets its id is copied. An append does not wait for this lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.store.columns.session import (
    COLUMN_NAMES,
    COLUMNS,
    INSERT_NEW_SESSION,
    new_session_parameters,
    session_of,
)
from sessionhistory_server.store.forks.copying import COPIED_COLUMNS, COUNTED, SWEEP
from sessionhistory_server.store.guard import SUMMARIES_IN_FORCE
from sessionhistory_server.store.postgres.transactions import joined_transaction
from sessionhistory_server.store.session_ref import LIVE, OWNED
from sessionhistory_server.store.summaries import COPIED_COLUMNS as SUMMARY_COLUMNS
from sessionhistory_server.store.summaries import covered_last_exists

if TYPE_CHECKING:
    from sessionhistory_server.model.session import Session, SessionContent
    from sessionhistory_server.store.forks.copying import Fork
    from sessionhistory_server.store.postgres.connection import Connection, Row

_SOURCE: Final = f"""
select {COLUMNS}, tenant_id, coalesce(%(through)s::bigint, last_sequence), {SUMMARIES_IN_FORCE}
from sessions
where session_key = %(source_key)s::uuid and {OWNED} and {LIVE}
  and coalesce(%(through)s::bigint, 0) <= last_sequence
for key share
"""

_COPY_MESSAGES: Final = f"""
insert into messages (session_key, {", ".join(COPIED_COLUMNS)})
select %(new_key)s::uuid, {", ".join(COPIED_COLUMNS)} from messages
where session_key = %(source_key)s::uuid and sequence <= %(fork_sequence)s::bigint
order by sequence
"""

_COPY_SUMMARIES: Final = f"""
insert into summaries (session_key, {", ".join(SUMMARY_COLUMNS)})
select %(new_key)s::uuid, {", ".join(SUMMARY_COLUMNS)} from summaries
where session_key = %(source_key)s::uuid
  and through_sequence <= least(%(fork_sequence)s::bigint, %(compacted_through)s::bigint)
  and (%(in_force)s::boolean or {covered_last_exists("%(source_key)s::uuid")})
order by through_sequence
"""

_COUNT: Final = f"""
update sessions
set message_count = counted.messages, total_tokens = counted.tokens, last_sequence = counted.newest_sequence,
    unpinned_tokens = counted.unpinned_tokens, unpinned_bytes = counted.unpinned_bytes,
    pinned_count = counted.pins, active_time = counted.newest_time,
    token_counter = case when counted.messages = 0 then token_counter else %(source_counter)s::text end,
    parent_session_id = %(source_id)s::text, parent_sequence = %(parent_sequence)s::bigint,
    compacted_through_sequence = coalesce((
        select max(through_sequence) from summaries where session_key = %(new_key)s::uuid
    ), 0),
    compacted_removed_count = counted.newest_sequence - counted.messages
from ({COUNTED} from messages where session_key = %(new_key)s::uuid) as counted
where session_key = %(new_key)s::uuid
returning {COLUMNS}
"""


class _Source(NamedTuple):
    """The session to copy, and how much of it."""

    session: Session
    tenant_id: str
    fork_sequence: int
    in_force: bool
    """Whether all its summaries are in force."""


async def copy(connection: Connection, wanted: Fork, parent_sequence: int | None = None) -> list[Row]:
    """Create a session from another one, as ``copying.copy`` does."""
    async with joined_transaction(connection):
        found = await connection.fetch(_SOURCE, wanted.parameters())
        if not found:
            return []
        (row,) = found
        source = _Source(session_of(row[: len(COLUMN_NAMES)]), *row[len(COLUMN_NAMES) :])
        await connection.fetch(SWEEP, {"new_key": wanted.new.session_key})
        await _create(connection, wanted, source)
        parameters = wanted.parameters(
            source.fork_sequence if parent_sequence is None else parent_sequence
        ) | {
            "fork_sequence": source.fork_sequence,
            "compacted_through": source.session.compacted_through_sequence,
            "in_force": source.in_force,
            "source_counter": source.session.token_counter,
        }
        await connection.fetch(_COPY_MESSAGES, parameters)
        await connection.fetch(_COPY_SUMMARIES, parameters)
        return await connection.fetch(_COUNT, parameters)


async def _create(connection: Connection, wanted: Fork, source: _Source) -> None:
    """Insert the session without messages."""
    new = wanted.new._replace(user_id=wanted.new.user_id or source.session.user_id)
    parameters = new_session_parameters(
        source.tenant_id, new, _content(wanted, source.session), wanted.token_counter, wanted.retention
    )
    await connection.fetch(INSERT_NEW_SESSION, parameters)


def _content(wanted: Fork, source: Session) -> SessionContent:
    """Return the content of the new session: a field that the caller does not set is the original's."""
    content = wanted.content._replace(labels=wanted.content.labels or None)
    kept = {name for name, value in content._asdict().items() if value is None} & set(source._fields)
    kept -= {"title"} if not wanted.keeps_title else set()
    kept -= {"state"} if not wanted.keeps_state else set()
    kept -= {"expire_time"} if content.ttl is not None else set()
    return content._replace(**{name: getattr(source, name) for name in kept})
