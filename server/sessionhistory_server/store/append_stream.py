"""What only a stream asks for: whether it may begin, and the place of a message that was interrupted."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import SessionHistoryError, session_not_found
from sessionhistory_server.store.append import append, require_room
from sessionhistory_server.store.sessions import LIVE, NAMED
from sessionhistory_server.store.standing import NEW, standing

if TYPE_CHECKING:
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.connection import Connection, Row

_STORED: Final = """
select sequence, status from messages
where session_key = %(session_key)s::uuid and message_id = %(message_id)s::text
"""

# The session first: whoever has its row has its last message too.
_REMOVE: Final = f"""
with session as (
    select session_key from sessions
    where {NAMED} and {LIVE} and status = 'ACTIVE' and last_sequence = %(sequence)s::bigint
    for update
), removed as (
    delete from messages using session
    where messages.session_key = %(session_key)s::uuid and messages.session_key = session.session_key
      and sequence = %(sequence)s::bigint and message_id = %(message_id)s::text
      and messages.status = 'INTERRUPTED'
    returning messages.session_key, token_count, size_bytes, pinned
)
update sessions
set message_count = message_count - 1,
    total_tokens = total_tokens - removed.token_count,
    unpinned_tokens = unpinned_tokens - case when pinned then 0 else removed.token_count end,
    unpinned_bytes = unpinned_bytes - case when pinned then 0 else removed.size_bytes end,
    pinned_count = pinned_count - pinned::integer
from removed
where sessions.session_key = %(session_key)s::uuid and sessions.session_key = removed.session_key
returning true
"""


async def check(connection: Connection, batch: Batch) -> None:
    """Raise what its append would be refused for if it came now.

    What is stored already may be repeated, whatever has become of the session's status.

    Raises:
        NotFoundError: there is no such session for this caller.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one.
    """
    found = await standing(connection, batch.ref)
    if (found is None and batch.create is None) or (found is not None and not found.usable):
        raise session_not_found(batch.ref.session_id)
    try:
        require_room(found or NEW, batch)
    except SessionHistoryError:
        if await _stored(connection, batch) is None:
            raise


async def replace_interrupted(connection: Connection, batch: Batch) -> bool:
    """Store a message in the place of the session's last one, if that has its id and is INTERRUPTED.

    An expected sequence is that before the interrupted message.

    Returns:
        Whether it has been stored.

    Raises:
        SessionHistoryError: as ``append``.
        OtherCounterError: the message must be counted by another counter.
    """
    found = await _stored(connection, batch)
    if found is None or found[1] != "INTERRUPTED":
        return False
    sequence: int = found[0]
    if batch.expected_last_sequence is not None:
        if batch.expected_last_sequence != sequence - 1:
            return False
        batch = dataclasses.replace(batch, expected_last_sequence=sequence)
    parameters = _names(batch) | {"sequence": sequence}
    async with connection.transaction():
        removed = await connection.execute(_REMOVE, parameters, binary=True, prepare=True)
        if await removed.fetchone() is None:
            return False
        await append(connection, batch)
    return True


async def _stored(connection: Connection, batch: Batch) -> Row | None:
    return await (await connection.execute(_STORED, _names(batch), binary=True, prepare=True)).fetchone()


def _names(batch: Batch) -> dict[str, object]:
    return batch.ref._asdict() | {"message_id": batch.messages[0].content.message_id}
