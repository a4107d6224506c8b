"""Replace the newest messages of a session by others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import message_id_kept
from sessionhistory_server.model.message import Appended
from sessionhistory_server.store.appends import retries, single
from sessionhistory_server.store.guard import (
    NO_SESSION,
    read_snapshot,
    require_appendable,
    require_reached,
    require_usable,
)
from sessionhistory_server.store.truncation import Tail, remove

if TYPE_CHECKING:
    from sessionhistory_server.model.message import Message
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.guard import SessionSnapshot
    from sessionhistory_server.store.postgres.connection import Connection

_FIRST_AFTER: Final = """
select sequence from messages
where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint
order by sequence
limit 1
"""


async def replace(connection: Connection, batch: Batch, keep_through_sequence: int) -> Appended:
    """Replace the messages after a sequence by a batch, or return the batch if it is stored there already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored among the messages that are kept.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one, or is before ``keep_through_sequence``.
    """
    tail = Tail(batch.ref, keep_through_sequence)
    while True:
        async with connection.transaction():
            found = await read_snapshot(connection, batch.ref, lock=True)
            if found is not None:
                return await replace_locked(connection, batch, tail, found)
            if batch.creates:
                require_reached(NO_SESSION, batch.ref, keep_through_sequence)
            if created := await single.create(connection, batch):
                return created


async def replace_locked(
    connection: Connection, batch: Batch, tail: Tail, found: SessionSnapshot
) -> Appended:
    """Replace as ``replace`` does, in a session that the transaction has locked and read."""
    require_usable(found, batch.ref, creates=batch.creates)
    if stored := await _find_stored(connection, batch, tail):
        return Appended(stored, found.counters, session_created=False, stored_before=True)
    require_appendable(found, batch.ref, batch.asked.expected_last_sequence)
    require_reached(found, batch.ref, tail.after_sequence)
    await remove(connection, tail, found)
    return await single.append(connection, batch)


async def _find_stored(connection: Connection, batch: Batch, tail: Tail) -> list[Message] | None:
    """Return the stored batch if the tail begins with it; the tail may hold more messages."""
    found = await retries.read_stored(connection, batch)
    by_id = found.by_id if found else {}
    for index, message_id in enumerate(by_id and batch.message_ids):
        if message_id in by_id and by_id[message_id].sequence <= tail.after_sequence:
            raise message_id_kept(message_id, index)
    if len(by_id) < len(batch.messages):
        return None
    parameters = {"session_key": tail.ref.session_key, "after": tail.after_sequence}
    first = await connection.fetch(_FIRST_AFTER, parameters)
    stored = [by_id[message_id] for message_id in batch.message_ids]
    places = [message.sequence for message in stored]
    in_place = places == list(range(first[0][0], first[0][0] + len(places)))
    same = all(old.content == new.content for old, new in zip(stored, batch.messages, strict=True))
    return stored if in_place and same else None
