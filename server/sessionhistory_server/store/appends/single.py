"""Append a batch to a session with one statement, without a read before the write.

The update of the session's row locks it. Under the lock the session assigns sequences, without gaps and in
the order of commits. If the session may not change, the update matches no row. If a message is stored
already, the insert violates the unique message id. Only then does the append read the session, to find the
reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg

from sessionhistory_server.errors import FailedPreconditionError, session_not_found
from sessionhistory_server.limits import MAX_PINNED_MESSAGES
from sessionhistory_server.model.message import Appended, Message
from sessionhistory_server.model.session import Counters
from sessionhistory_server.model.tokens import MIXED, OtherCounterError
from sessionhistory_server.store.appends import retries
from sessionhistory_server.store.columns.message import (
    INSERT_COLUMNS,
    INSERT_VALUES,
    JSON_RECORD,
    message_records,
    to_json,
)
from sessionhistory_server.store.columns.session import (
    INSERT_SESSION,
    new_session_parameters,
    title_parameter,
)
from sessionhistory_server.store.guard import (
    NO_SESSION,
    SessionSnapshot,
    require_appendable,
)
from sessionhistory_server.store.session_ref import LIVE, NAMED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sessionhistory_server.model.message import NewMessage
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection

SHORT_LOCK_TIMEOUT: Final = "(select set_config('lock_timeout', '250ms', true)) as short_lock_timeout"
"""SQL that sets a lock_timeout for a statement that must not wait long for a locked session."""

# An attempt fails only if another call changed the session meanwhile, which does not happen this often in a
# row.
_MAX_ATTEMPTS: Final = 20

_STORE: Final = f"""
returning session_key, last_sequence, message_count, total_tokens, active_time,
          last_sequence - %(count)s::bigint as base_sequence,
          unpinned_tokens - %(unpinned_tokens)s::bigint as base_tokens,
          unpinned_bytes - %(unpinned_bytes)s::bigint as base_bytes
), stored as (
    insert into messages (session_key, sequence, create_time, {INSERT_COLUMNS})
    select session.session_key, session.base_sequence + new.ordinal, session.active_time,
           {INSERT_VALUES}
    from session, json_to_recordset(%(messages)s::json) as new ({JSON_RECORD})
)
select last_sequence, message_count, total_tokens, active_time from session
"""


# greatest: times of messages never decrease, even if the clock of the database is set back.
def _appending(source: LiteralString = "") -> LiteralString:
    return f"""
with session as (
update sessions
set last_sequence = last_sequence + %(count)s::bigint,
    message_count = message_count + %(count)s::bigint,
    total_tokens = total_tokens + %(tokens)s::bigint,
    unpinned_tokens = unpinned_tokens + %(unpinned_tokens)s::bigint,
    unpinned_bytes = unpinned_bytes + %(unpinned_bytes)s::bigint,
    pinned_count = pinned_count + %(pinned_count)s::integer,
    title = coalesce(title, %(new_title)s::text),
    token_counter = case %(token_counter)s::text when '{MIXED}' then '{MIXED}' else token_counter end,
    active_time = greatest(active_time, now())
{source}
where {NAMED} and {LIVE} and status = 'ACTIVE'
  and (%(expected)s::bigint is null or last_sequence = %(expected)s::bigint)
  and pinned_count + %(pinned_count)s::integer <= {MAX_PINNED_MESSAGES}
  and (%(required_counter)s::text is null or token_counter in (%(required_counter)s::text, '{MIXED}'))
{_STORE}"""


_APPEND: Final = _appending()
_AT_ONCE: Final = _appending(f"from {SHORT_LOCK_TIMEOUT}")

_CREATE: Final = f"""
with session as (
{INSERT_SESSION}
{_STORE}"""


async def append(connection: Connection, batch: Batch) -> Appended:
    """Store a whole batch at the end of its session, or return it if it is stored already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored with other content, or not together with the rest of the batch.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
        OtherCounterError: the messages must be counted by another counter.
    """
    parameters = _parameters(batch)
    for _ in range(_MAX_ATTEMPTS):
        if appended := await _store(connection, _APPEND, parameters, batch):
            return appended
        found = await retries.read_stored(connection, batch)
        if found is None:
            appended = await create(connection, batch)
        else:
            _require_counter(found.session, batch)
            appended = retries.as_stored(batch, found)
        if appended:
            return appended
        if found is not None:
            require_accepts(found.session, batch)
    raise RuntimeError("an append failed again and again without a reason")


async def append_at_once(connection: Connection, batch: Batch) -> Appended | None:
    """Store a batch if its session accepts it and is not locked for long; else return ``None``."""
    return await _store(connection, _AT_ONCE, _parameters(batch), batch)


def _parameters(batch: Batch) -> dict[str, Any]:
    unpinned = [message for message in batch.messages if not message.content.pinned]
    return batch.ref._asdict() | {
        "messages": to_json(message_records(batch.messages)),
        "count": len(batch.messages),
        "tokens": sum(message.token_count for message in batch.messages),
        "unpinned_tokens": sum(message.token_count for message in unpinned),
        "unpinned_bytes": sum(message.size_bytes for message in unpinned),
        "pinned_count": len(batch.messages) - len(unpinned),
        "expected": batch.asked.expected_last_sequence,
        "new_title": title_parameter(batch.messages),
        "token_counter": batch.token_counter,
        "required_counter": batch.required_counter,
    }


async def _store(
    connection: Connection, query: LiteralString, parameters: Mapping[str, Any], batch: Batch
) -> Appended | None:
    """Run a statement that stores a batch; return ``None`` if it stored nothing."""
    try:
        found = await connection.fetch(query, parameters)
    except psycopg.errors.UniqueViolation:
        return None
    if not found:
        return None
    (row,) = found
    *counters, create_time = row
    return appended_of(batch.messages, Counters(*counters), create_time, session_created=query is _CREATE)


def appended_of(
    new: Sequence[NewMessage], counters: Counters, create_time: int, *, session_created: bool
) -> Appended:
    """Return the outcome of an append, from the session's counters after the last message."""
    first = counters.last_sequence - len(new) + 1
    messages = [
        Message(one.content, sequence, one.token_count, create_time, one.size_bytes)
        for sequence, one in enumerate(new, start=first)
    ]
    return Appended(messages, counters, session_created=session_created)


async def create(connection: Connection, batch: Batch) -> Appended | None:
    """Store a batch in a new session; return ``None`` if the session exists.

    Raises:
        NotFoundError: the batch does not create sessions.
        FailedPreconditionError: the session would have too many pinned messages.
        AbortedError: the batch expects another last sequence than 0.
    """
    if batch.asked.new_session is None:
        raise session_not_found(batch.ref.session_id)
    require_accepts(NO_SESSION, batch)
    parameters = _parameters(batch)
    session = new_session_parameters(
        batch.tenant_id, batch.ref, batch.asked.new_session, batch.token_counter, batch.retention
    )
    title = session["title"] or parameters["new_title"]
    return await _store(connection, _CREATE, session | parameters | {"title": title}, batch)


def require_accepts(found: SessionSnapshot, batch: Batch) -> None:
    """Require that a session accepts a batch.

    Raises:
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
    """
    require_appendable(found, batch.ref, batch.asked.expected_last_sequence)
    session_id = batch.ref.session_id
    if found.pinned_count + sum(message.content.pinned for message in batch.messages) > MAX_PINNED_MESSAGES:
        raise FailedPreconditionError(
            f"session {session_id!r} would have more than {MAX_PINNED_MESSAGES} pinned messages",
            reason="TOO_MANY_PINNED",
            session_id=session_id,
            pinned_count=str(found.pinned_count),
        )


def _require_counter(found: SessionSnapshot, batch: Batch) -> None:
    if batch.required_counter and found.token_counter not in (batch.required_counter, MIXED):
        raise OtherCounterError(found.token_counter)
