"""Appending: one statement, no read before the write.

The update of the session's row takes its lock, and the lock is what gives out sequences: without gaps,
in commit order. Whatever stands in the way makes that update match no row, or the insert violate the
unique message id; only then is the session read, to say what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

import psycopg

from sessionhistory_server.errors import (
    AbortedError,
    FailedPreconditionError,
    message_id_reused,
    session_not_found,
)
from sessionhistory_server.limits import MAX_PINNED_MESSAGES
from sessionhistory_server.model import (
    ACTIVE,
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
    OWNED,
    new_session_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from sessionhistory_server.model import NewMessage, SessionContent
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

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
_APPEND: Final = f"""
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
where {NAMED} and {LIVE} and status = 'ACTIVE'
  and (%(expected)s::bigint is null or last_sequence = %(expected)s::bigint)
  and pinned_count + %(pinned_count)s::integer <= {MAX_PINNED_MESSAGES}
  and (%(required_counter)s::text is null or token_counter in (%(required_counter)s::text, '{MIXED}'))
{_STORE}"""

_CREATE: Final = f"""
with session as (
insert into sessions ({NEW_SESSION_COLUMNS}) values ({NEW_SESSION_VALUES})
on conflict (session_key) do nothing
{_STORE}"""

_STATE: Final = f"""
select last_sequence, message_count, total_tokens, status, pinned_count, token_counter, ({OWNED} and {LIVE})
from sessions where session_key = %(session_key)s::uuid
"""

# One by one: for all at once the planner may read the session from end to end.
_STORED: Final = f"""
select stored.* from unnest(%(message_ids)s::text[]) as wanted (message_id) cross join lateral (
    select {", ".join(rows.FIELDS)} from messages
    where session_key = %(session_key)s::uuid and messages.message_id = wanted.message_id
    limit 1
) as stored
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
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


class OtherCounterError(Exception):
    """The messages must be counted by the session's own ``counter`` to be appended."""

    def __init__(self, counter: str) -> None:
        super().__init__(counter)
        self.counter = counter


class State(NamedTuple):
    """What an append depends on; ``usable``: live, and the caller's."""

    last_sequence: int
    message_count: int
    total_tokens: int
    status: str
    pinned_count: int
    token_counter: str
    usable: bool


NO_SESSION: Final = State(0, 0, 0, ACTIVE, 0, MIXED, usable=True)
"""Of a session that is to be made."""


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
        state = await state_of(connection, batch.ref)
        if state is None:
            appended = await _create(connection, parameters, batch)
        elif state.usable:
            appended = await _find_stored(connection, batch, state)
        else:
            raise session_not_found(batch.ref.session_id)
        if appended:
            return appended
        require_appendable(state, batch)
        _require_counter(state, batch)
    raise RuntimeError("an append was turned away time and again without a reason")


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


async def _create(connection: Connection, parameters: dict[str, Any], batch: Batch) -> Appended | None:
    """Store the batch with a new session; ``None`` if another caller has made the session first."""
    if batch.create is None:
        raise session_not_found(batch.ref.session_id)
    require_appendable(NO_SESSION, batch)
    session = new_session_parameters(
        batch.tenant_id, batch.ref, batch.create, batch.token_counter, batch.retention
    )
    title = batch.create.title or parameters["first_user_text"]
    return await _store(connection, _CREATE, session | parameters | {"title": title}, batch)


async def state_of(connection: Connection, ref: SessionRef) -> State | None:
    """Return what an append to a session depends on; ``None`` if there is no such row."""
    found = await connection.fetch(_STATE, ref._asdict())
    return State._make(found[0]) if found else None


async def _find_stored(connection: Connection, batch: Batch, state: State) -> Appended | None:
    """Return the batch as it is stored already; ``None`` if nothing of it is."""
    ids = [message.content.message_id for message in batch.messages]
    parameters = {"session_key": batch.ref.session_key, "message_ids": ids}
    found = await connection.fetch(_STORED, parameters)
    by_id = {m.content.message_id: m for m in map(rows.message_of, found)}
    if not by_id:
        return None
    stored = [by_id[message_id] for message_id in ids if message_id in by_id]
    if len(stored) < len(ids):
        reused = stored[0].content.message_id
        raise message_id_reused(reused, ids.index(reused), batch_size=len(ids))
    for index, (new, old) in enumerate(zip(batch.messages, stored, strict=True)):
        if old.content != new.content or old.sequence != stored[0].sequence + index:
            raise message_id_reused(ids[index], index, batch_size=len(ids))
    return Appended(stored, Counters._make(state[:3]), session_created=False)


def require_appendable(state: State | None, batch: Batch) -> None:
    """Raise what stands in the way of a batch, if there is a session.

    Raises:
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
    """
    if state is None:
        return
    session_id, expected = batch.ref.session_id, batch.expected_last_sequence
    if state.status != ACTIVE:
        raise FailedPreconditionError(
            f"session {session_id!r} is {state.status}: set it ACTIVE to append",
            reason="SESSION_NOT_ACTIVE",
            session_id=session_id,
            status=state.status,
        )
    if expected is not None and expected != state.last_sequence:
        raise AbortedError(
            f"session {session_id!r} has last sequence {state.last_sequence}, not {expected}",
            reason="SEQUENCE_MISMATCH",
            session_id=session_id,
            actual_last_sequence=str(state.last_sequence),
        )
    if state.pinned_count + sum(message.content.pinned for message in batch.messages) > MAX_PINNED_MESSAGES:
        raise FailedPreconditionError(
            f"session {session_id!r} would have more than {MAX_PINNED_MESSAGES} pinned messages",
            reason="TOO_MANY_PINNED",
            session_id=session_id,
            pinned_count=str(state.pinned_count),
        )


def _require_counter(state: State | None, batch: Batch) -> None:
    if state and batch.required_counter and state.token_counter not in (batch.required_counter, MIXED):
        raise OtherCounterError(state.token_counter)
