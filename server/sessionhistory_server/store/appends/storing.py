"""The two ways to store a batch: in one statement, or in two if Citus has distributed the sessions.

Both update the session's row, or insert it, and then insert the messages. Citus runs each of two statements
on the one machine of the session. It would run a statement that does both on all machines (ADR 50).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg

from sessionhistory_server.limits import MAX_PINNED_MESSAGES
from sessionhistory_server.model.session import Counters
from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store.appends import rows
from sessionhistory_server.store.columns.message import (
    INSERT_COLUMNS,
    INSERT_VALUES,
    JSON_RECORD,
    message_records,
    to_json,
)
from sessionhistory_server.store.columns.session import INSERT_SESSION, title_parameter
from sessionhistory_server.store.postgres.transactions import joined_transaction
from sessionhistory_server.store.session_ref import LIVE, NAMED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection, Row

SHORT_LOCK_TIMEOUT: Final = "(select set_config('lock_timeout', '250ms', true)) as short_lock_timeout"
"""SQL that sets a lock_timeout for a statement that must not wait long for a locked session."""

_RETURNED: Final = "last_sequence, message_count, total_tokens, active_time, user_id"
_BASE: Final = """
          last_sequence - %(count)s::bigint as base_sequence,
          unpinned_tokens - %(unpinned_tokens)s::bigint as base_tokens,
          unpinned_bytes - %(unpinned_bytes)s::bigint as base_bytes"""
_COUNTERS: Final = len(Counters._fields)


class Writing(NamedTuple):
    """The statements that store a batch in a session."""

    whole: LiteralString
    """All in one statement."""
    session: LiteralString
    """The first of two statements, which writes the session's row."""


class Written(NamedTuple):
    """The session's counters after a batch was stored, the time of its messages, and its user."""

    counters: Counters
    create_time: int
    user_id: str | None


def _writing(session: LiteralString) -> Writing:
    whole = f"""
with session as (
{session}
returning session_key, {_RETURNED}, {_BASE}
), stored as (
    insert into messages (session_key, sequence, create_time, {INSERT_COLUMNS})
    select session.session_key, session.base_sequence + new.ordinal, session.active_time,
           {INSERT_VALUES}
    from session, json_to_recordset(%(messages)s::json) as new ({JSON_RECORD})
)
select {_RETURNED} from session
"""
    return Writing(whole, f"{session} returning {_RETURNED}, {_BASE}")


# greatest: times of messages never decrease, even if the clock of the database is set back.
def _appending(source: LiteralString = "") -> Writing:
    return _writing(f"""
update sessions
set last_sequence = last_sequence + %(count)s::bigint,
    message_count = message_count + %(count)s::bigint,
    total_tokens = total_tokens + %(tokens)s::bigint,
    unpinned_tokens = unpinned_tokens + %(unpinned_tokens)s::bigint,
    unpinned_bytes = unpinned_bytes + %(unpinned_bytes)s::bigint,
    pinned_count = pinned_count + %(pinned_count)s::integer,
    title = coalesce(title, %(new_title)s::text),
    token_counter = case when %(token_counter)s::text = '{MIXED}' then '{MIXED}' else token_counter end,
    active_time = greatest(active_time, now())
{source}
where {NAMED} and {LIVE} and status = 'ACTIVE'
  and (%(expected)s::bigint is null or last_sequence = %(expected)s::bigint)
  and pinned_count + %(pinned_count)s::integer <= {MAX_PINNED_MESSAGES}
  and (%(max_messages)s::bigint is null or message_count + %(count)s::bigint <= %(max_messages)s::bigint)
  and (%(required_counter)s::text is null or token_counter in (%(required_counter)s::text, '{MIXED}'))
""")


APPEND: Final = _appending()
"""Appends to a session that accepts the batch."""

APPEND_AT_ONCE: Final = _appending(f"from {SHORT_LOCK_TIMEOUT}")
"""The same, unless the session is locked for long. The limit does not reach the workers of Citus."""

CREATE: Final = _writing(INSERT_SESSION)
"""Creates a session with the batch, unless its key is taken."""


def parameters_of(batch: Batch) -> dict[str, Any]:
    """Return the parameters of ``APPEND``, and of ``CREATE`` without those of the new session."""
    unpinned = [message for message in batch.messages if not message.content.pinned]
    return batch.ref._asdict() | {
        "count": len(batch.messages),
        "tokens": sum(message.token_count for message in batch.messages),
        "unpinned_tokens": sum(message.token_count for message in unpinned),
        "unpinned_bytes": sum(message.size_bytes for message in unpinned),
        "pinned_count": len(batch.messages) - len(unpinned),
        "max_messages": batch.room.max_messages,
        "expected": batch.asked.expected_last_sequence,
        "new_title": title_parameter(batch.messages),
        "token_counter": batch.token_counter,
        "required_counter": batch.required_counter,
    }


async def write(
    connection: Connection, writing: Writing, parameters: Mapping[str, Any], batch: Batch
) -> Written | None:
    """Store a batch; return ``None`` if nothing was stored.

    Then the session does not accept the batch, or a message of it is stored already.
    """
    run = _in_two_statements if connection.is_distributed else _in_one_statement
    try:
        found = await run(connection, writing, parameters, batch)
    except psycopg.errors.UniqueViolation:
        return None
    if not found:
        return None
    (row,) = found
    return Written(Counters(*row[:_COUNTERS]), *row[_COUNTERS : len(Written._fields) + _COUNTERS - 1])


async def _in_one_statement(
    connection: Connection, writing: Writing, parameters: Mapping[str, Any], batch: Batch
) -> list[Row]:
    messages = to_json(message_records(batch.messages))
    return await connection.fetch(writing.whole, {**parameters, "messages": messages})


async def _in_two_statements(
    connection: Connection, writing: Writing, parameters: Mapping[str, Any], batch: Batch
) -> list[Row]:
    async with joined_transaction(connection):
        found = await connection.fetch(writing.session, parameters)
        for row in found:
            *_, create_time, _, sequence, tokens, size = row
            base = rows.Base(batch.ref.session_key, create_time, sequence, tokens, size)
            await rows.insert(connection, base, batch.messages)
    return found
