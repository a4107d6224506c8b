"""Append a batch to a session without a read before the write.

The update of the session's row locks it. Under the lock the session assigns sequences, without gaps and in
the order of commits. If the session may not change, the update matches no row. If a message is stored
already, the insert violates the unique message id. Only then does the append read the session, to find the
reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.errors import FailedPreconditionError, session_not_found
from sessionhistory_server.limits import MAX_PINNED_MESSAGES
from sessionhistory_server.model.message import Appended, Message
from sessionhistory_server.model.tokens import MIXED, OtherCounterError
from sessionhistory_server.store.appends import retries, storing
from sessionhistory_server.store.columns.session import (
    new_session_parameters,
)
from sessionhistory_server.store.guard import (
    NO_SESSION,
    SessionSnapshot,
    read_holder,
    require_appendable,
    require_usable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sessionhistory_server.model.message import NewMessage
    from sessionhistory_server.model.session import Counters
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.appends.storing import Writing
    from sessionhistory_server.store.postgres.connection import Connection

# An attempt fails only if another call changed the session meanwhile, which does not happen this often in a
# row.
_MAX_ATTEMPTS: Final = 20


async def append(connection: Connection, batch: Batch) -> Appended:
    """Store a whole batch at the end of its session, or return it if it is stored already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored with other content, or not together with the rest of the batch.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
        LimitReachedError: there is no room.
        OtherCounterError: the messages must be counted by another counter.
    """
    parameters = storing.parameters_of(batch)
    for _ in range(_MAX_ATTEMPTS):
        if not batch.refusal and (appended := await _store(connection, storing.APPEND, parameters, batch)):
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
    return await _store(connection, storing.APPEND_AT_ONCE, storing.parameters_of(batch), batch)


async def _store(
    connection: Connection, writing: Writing, parameters: Mapping[str, Any], batch: Batch
) -> Appended | None:
    written = await storing.write(connection, writing, parameters, batch)
    if written is None:
        return None
    return appended_of(batch.messages, *written, session_created=writing is storing.CREATE)


def appended_of(
    new: Sequence[NewMessage],
    counters: Counters,
    create_time: int,
    user_id: str | None,
    *,
    session_created: bool,
) -> Appended:
    """Return the outcome of an append, from the session's counters after the last message."""
    first = counters.last_sequence - len(new) + 1
    messages = [
        Message(one.content, sequence, one.token_count, create_time, one.size_bytes)
        for sequence, one in enumerate(new, start=first)
    ]
    return Appended(messages, counters, session_created=session_created, user_id=user_id)


async def create(connection: Connection, batch: Batch) -> Appended | None:
    """Store a batch in a new session; return ``None`` if the caller has a session with the id by now.

    Raises:
        NotFoundError: the batch does not create sessions, or the id is taken.
        FailedPreconditionError: the session would have too many pinned messages.
        AbortedError: the batch expects another last sequence than 0.
        LimitReachedError: there is no room for it.
    """
    if batch.asked.new_session is None:
        raise session_not_found(batch.ref.session_id)
    require_accepts(NO_SESSION, batch)
    if refusal := batch.room.take_session():
        raise refusal
    parameters = storing.parameters_of(batch)
    session = new_session_parameters(
        batch.tenant_id, batch.ref, batch.asked.new_session, batch.token_counter, batch.retention
    )
    title = session["title"] or parameters["new_title"]
    created = await _store(connection, storing.CREATE, session | parameters | {"title": title}, batch)
    if created is None and (holder := await read_holder(connection, batch.ref)):
        require_usable(holder, batch.ref, creates=True)
    return created


def require_accepts(found: SessionSnapshot, batch: Batch) -> None:
    """Require that a session accepts a batch.

    Raises:
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
        LimitReachedError: there is no room for more messages.
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
    batch.room.require_messages(session_id, found.message_count, len(batch.messages))
    if batch.refusal:
        raise batch.refusal


def _require_counter(found: SessionSnapshot, batch: Batch) -> None:
    if batch.required_counter and found.token_counter not in (batch.required_counter, MIXED):
        raise OtherCounterError(found.token_counter)
