"""What only a stream asks for: whether it may begin, and the place of a message that was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import AbortedError, SessionHistoryError, session_not_found
from sessionhistory_server.store import truncation
from sessionhistory_server.store.append import require_room
from sessionhistory_server.store.standing import NEW, standing

if TYPE_CHECKING:
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.connection import Connection, Row

_STORED: Final = """
select sequence, status from messages
where session_key = %(session_key)s::uuid and message_id = %(message_id)s::text
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
    if batch.expected_last_sequence not in (None, sequence - 1):
        return False
    batch = batch._replace(expected_last_sequence=sequence)
    try:
        await truncation.replace(connection, batch, sequence - 1)
    except AbortedError:  # another message has followed
        return False
    return True


async def _stored(connection: Connection, batch: Batch) -> Row | None:
    parameters = {"session_key": batch.ref.session_key, "message_id": batch.messages[0].content.message_id}
    found = await connection.fetch(_STORED, parameters)
    return found[0] if found else None
