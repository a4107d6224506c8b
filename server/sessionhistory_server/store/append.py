"""Appending: one statement, no read before the write.

The update of the session's row takes its lock, and the lock is what gives out sequences: without gaps,
in commit order. Whatever stands in the way makes that update match no row, or the insert violate the
unique message id; only then is the session read, to say what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg

from sessionhistory_server.errors import FailedPreconditionError, message_id_reused, session_not_found
from sessionhistory_server.limits import MAX_PINNED_MESSAGES
from sessionhistory_server.model import (
    MIXED,
    TITLE_FROM_MESSAGE_LENGTH,
    USER,
    Appended,
    Counters,
    Message,
)
from sessionhistory_server.store import rows
from sessionhistory_server.store.sessions import (
    LIVE,
    NAMED,
    NEW_SESSION_COLUMNS,
    NEW_SESSION_VALUES,
    new_session_parameters,
)
from sessionhistory_server.store.standing import NEW, Standing, require_appendable, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from sessionhistory_server.model import NewMessage, SessionContent
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

PATIENCE: Final = "(select set_config('lock_timeout', '250ms', true)) as patience"
"""The lock_timeout of one statement alone, for it must not wait for a session that somebody has locked."""

# Each attempt fails because of what another caller did meanwhile; so many in a row do not happen.
_MAX_ATTEMPTS: Final = 20

_STORE: Final = f"""
returning session_key, last_sequence, message_count, total_tokens, active_time,
          last_sequence - %(count)s::bigint as base_sequence,
          unpinned_tokens - %(unpinned_tokens)s::bigint as base_tokens,
          unpinned_bytes - %(unpinned_bytes)s::bigint as base_bytes
), stored as (
    insert into messages (session_key, sequence, create_time, {rows.SENT_COLUMNS})
    select session.session_key, session.base_sequence + new.ordinal, session.active_time, {rows.SENT_VALUES}
    from session, json_to_recordset(%(messages)s::json) as new ({rows.SENT_RECORD})
)
select last_sequence, message_count, total_tokens, active_time from session
"""


# greatest: the clock may run backwards against the sequence.
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
    title = coalesce(title, %(first_user_text)s::text),
    token_counter = case %(token_counter)s::text when '{MIXED}' then '{MIXED}' else token_counter end,
    active_time = greatest(active_time, now())
{source}
where {NAMED} and {LIVE} and status = 'ACTIVE'
  and (%(expected)s::bigint is null or last_sequence = %(expected)s::bigint)
  and pinned_count + %(pinned_count)s::integer <= {MAX_PINNED_MESSAGES}
  and (%(required_counter)s::text is null or token_counter in (%(required_counter)s::text, '{MIXED}'))
{_STORE}"""


_APPEND: Final = _appending()
_AT_ONCE: Final = _appending(f"from {PATIENCE}")

_CREATE: Final = f"""
with session as (
insert into sessions ({NEW_SESSION_COLUMNS}) values ({NEW_SESSION_VALUES})
on conflict (session_key) do nothing
{_STORE}"""

# One by one: for all at once the planner may read the session from end to end.
_STORED: Final = f"""
select stored.* from unnest(%(message_ids)s::text[]) as wanted (message_id) cross join lateral (
    select {", ".join(rows.FIELDS)} from messages
    where session_key = %(session_key)s::uuid and messages.message_id = wanted.message_id
    limit 1
) as stored
"""


class Batch(NamedTuple):
    """One or more messages for one session, and the session to make if there is none."""

    tenant_id: str
    ref: SessionRef
    messages: list[NewMessage]
    create: SessionContent | None
    expected_last_sequence: int | None
    retention: timedelta
    token_counter: str
    """What has counted the messages; ``MIXED`` leaves the session so."""

    @property
    def required_counter(self) -> str | None:
        """What the session's counter must be, or ``MIXED``, for its counts to stay of one kind."""
        if self.token_counter == MIXED or all(m.content.token_count_given is not None for m in self.messages):
            return None
        return self.token_counter

    @property
    def message_ids(self) -> list[str]:
        """The ids of the messages, in order."""
        return [message.content.message_id for message in self.messages]


class OtherCounterError(Exception):
    """The messages must be counted by the session's own ``counter`` to be appended."""

    def __init__(self, counter: str) -> None:
        super().__init__(counter)
        self.counter = counter


async def append(connection: Connection, batch: Batch) -> Appended:
    """Store a batch at the end of its session, as a whole; or return it, if it is stored already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored with other content, or apart from this batch.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
        OtherCounterError: the messages must be counted by another counter.
    """
    parameters = _parameters(batch)
    for _ in range(_MAX_ATTEMPTS):
        if appended := await _store(connection, _APPEND, parameters, batch):
            return appended
        found = await standing(connection, batch.ref)
        if found is None:
            appended = await create(connection, batch)
        elif found.usable:
            _require_counter(found, batch)
            appended = await find_stored(connection, batch, found)
        else:
            raise session_not_found(batch.ref.session_id)
        if appended:
            return appended
        if found is not None:
            require_room(found, batch)
    raise RuntimeError("an append was turned away time and again without a reason")


async def append_at_once(connection: Connection, batch: Batch) -> Appended | None:
    """Store a batch if nothing stands in the way, be it for the length of a lock."""
    return await _store(connection, _AT_ONCE, _parameters(batch), batch)


def _parameters(batch: Batch) -> dict[str, Any]:
    unpinned = [message for message in batch.messages if not message.content.pinned]
    return batch.ref._asdict() | {
        "messages": rows.encode(rows.records(batch.messages)),
        "count": len(batch.messages),
        "tokens": sum(message.token_count for message in batch.messages),
        "unpinned_tokens": sum(message.token_count for message in unpinned),
        "unpinned_bytes": sum(message.size_bytes for message in unpinned),
        "pinned_count": len(batch.messages) - len(unpinned),
        "expected": batch.expected_last_sequence,
        "first_user_text": first_user_text(batch.messages),
        "token_counter": batch.token_counter,
        "required_counter": batch.required_counter,
    }


def first_user_text(messages: Iterable[NewMessage]) -> str | None:
    """Return what a session without a title is to be called, if the messages say."""
    texts = (m.content.content for m in messages if m.content.role == USER and m.content.content)
    return next((text[:TITLE_FROM_MESSAGE_LENGTH] for text in texts), None)


async def _store(
    connection: Connection, query: LiteralString, parameters: Mapping[str, Any], batch: Batch
) -> Appended | None:
    """Run a storing statement; ``None`` if it stored nothing."""
    try:
        found = await connection.fetch(query, parameters)
    except psycopg.errors.UniqueViolation:
        return None
    if not found:
        return None
    (row,) = found
    return stored(batch.messages, Counters._make(row[:3]), row[3], session_created=query is _CREATE)


def stored(
    new: Sequence[NewMessage], counters: Counters, create_time: int, *, session_created: bool
) -> Appended:
    """Return messages as they are stored, by the session's counters after the last of them."""
    first = counters.last_sequence - len(new) + 1
    messages = [
        Message(one.content, sequence, one.token_count, create_time, one.size_bytes)
        for sequence, one in enumerate(new, start=first)
    ]
    return Appended(messages, counters, session_created=session_created)


async def create(connection: Connection, batch: Batch) -> Appended | None:
    """Store a batch with a new session; ``None`` if there is one already.

    Raises:
        NotFoundError: the batch names no session to make.
        FailedPreconditionError: the session would have too many pinned messages.
        AbortedError: the batch expects another last sequence than 0.
    """
    if batch.create is None:
        raise session_not_found(batch.ref.session_id)
    require_room(NEW, batch)
    parameters = _parameters(batch)
    session = new_session_parameters(
        batch.tenant_id, batch.ref, batch.create, batch.token_counter, batch.retention
    )
    title = batch.create.title or parameters["first_user_text"]
    return await _store(connection, _CREATE, session | parameters | {"title": title}, batch)


async def stored_by_id(connection: Connection, batch: Batch) -> dict[str, Message]:
    """Return the messages that have an id of the batch."""
    parameters = {"session_key": batch.ref.session_key, "message_ids": batch.message_ids}
    found = await connection.fetch(_STORED, parameters)
    return {m.content.message_id: m for m in map(rows.message_of, found)}


async def find_stored(connection: Connection, batch: Batch, found: Standing) -> Appended | None:
    """Return the batch as it is stored already; ``None`` if nothing of it is."""
    by_id = await stored_by_id(connection, batch)
    if not by_id:
        return None
    ids = batch.message_ids
    stored = [by_id[message_id] for message_id in ids if message_id in by_id]
    if len(stored) < len(ids):
        first = stored[0].content.message_id
        raise message_id_reused(first, ids.index(first), batch_size=len(ids))
    for index, (new, old) in enumerate(zip(batch.messages, stored, strict=True)):
        if old.content != new.content or old.sequence != stored[0].sequence + index:
            raise message_id_reused(ids[index], index, batch_size=len(ids))
    return Appended(stored, found.counters, session_created=False, stored_before=True)


def require_room(found: Standing, batch: Batch) -> None:
    """Require that a session takes a batch.

    Raises:
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
    """
    require_appendable(found, batch.ref, batch.expected_last_sequence)
    session_id = batch.ref.session_id
    if found.pinned_count + sum(message.content.pinned for message in batch.messages) > MAX_PINNED_MESSAGES:
        raise FailedPreconditionError(
            f"session {session_id!r} would have more than {MAX_PINNED_MESSAGES} pinned messages",
            reason="TOO_MANY_PINNED",
            session_id=session_id,
            pinned_count=str(found.pinned_count),
        )


def _require_counter(found: Standing, batch: Batch) -> None:
    if batch.required_counter and found.token_counter not in (batch.required_counter, MIXED):
        raise OtherCounterError(found.token_counter)
