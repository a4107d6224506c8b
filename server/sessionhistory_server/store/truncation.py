"""Remove the newest messages of a session.

The session's row is locked first, so that nothing is appended meanwhile. The tokens and bytes of the removed
messages are subtracted from the running totals, so that the next message continues the last one that is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import session_not_found
from sessionhistory_server.model.session import Counters, Truncated
from sessionhistory_server.store.guard import (
    read_snapshot,
    require_appendable,
    require_reached,
)
from sessionhistory_server.store.summaries import remove_summaries_after, remove_void_summaries

if TYPE_CHECKING:
    from sessionhistory_server.store.guard import SessionSnapshot
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

MAX_REMOVED: Final = 10_000
"""The maximum number of messages that one statement removes, which limits its time and memory."""

# Each message is found by its ctid, which does not change while the session is locked. With a key, the
# planner may read the whole session for each message. The sub-select hides the limit, so that it expects few
# messages even if it knows the parameters.
REMOVED: Final = """
with doomed as materialized (
    select ctid as place from messages
    where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint
    order by sequence
    limit (select %(limit)s::bigint)
), removed as (
    delete from messages using doomed
    where session_key = %(session_key)s::uuid and messages.ctid = doomed.place
    returning messages.sequence, token_count, size_bytes, pinned
)
"""
"""The beginning of a statement that removes up to ``limit`` messages after a sequence, oldest first."""

_REMOVE: Final = f"""{REMOVED}, sums as (
    select count(*) as messages, coalesce(sum(token_count), 0) as tokens,
           coalesce(sum(token_count) filter (where not pinned), 0) as unpinned_tokens,
           coalesce(sum(size_bytes) filter (where not pinned), 0) as unpinned_bytes,
           count(*) filter (where pinned) as pins, max(sequence) as through
    from removed
)
update sessions
set message_count = message_count - sums.messages,
    total_tokens = total_tokens - sums.tokens,
    unpinned_tokens = sessions.unpinned_tokens - sums.unpinned_tokens,
    unpinned_bytes = sessions.unpinned_bytes - sums.unpinned_bytes,
    pinned_count = pinned_count - sums.pins,
    compacted_removed_count = last_sequence - message_count + sums.messages
from sums
where session_key = %(session_key)s::uuid
returning last_sequence, message_count, total_tokens, sums.messages, sums.through
"""


class Tail(NamedTuple):
    """The messages of a session after a sequence."""

    ref: SessionRef
    after_sequence: int


async def truncate(
    connection: Connection, ref: SessionRef, keep_through_sequence: int, *, expected_last_sequence: int | None
) -> Truncated:
    """Remove the messages after a sequence.

    Raises:
        NotFoundError: there is no such session for this caller.
        FailedPreconditionError: the session is not active.
        AbortedError: its last sequence is not the expected one, or is before ``keep_through_sequence``.
    """
    async with connection.transaction():
        found = await read_snapshot(connection, ref, lock=True)
        if found is None or not found.usable:
            raise session_not_found(ref.session_id)
        require_appendable(found, ref, expected_last_sequence)
        require_reached(found, ref, keep_through_sequence)
        return await remove(connection, Tail(ref, keep_through_sequence), found)


async def remove(connection: Connection, tail: Tail, found: SessionSnapshot) -> Truncated:
    """Remove a tail of a locked session, in parts, and the summaries that cover its messages."""
    if not found.in_force:
        found = await remove_void_summaries(connection, tail.ref.session_key, found)
    if found.compacted_through_sequence > tail.after_sequence:
        await remove_summaries_after(connection, tail.ref.session_key, tail.after_sequence)
    removed, after = 0, tail.after_sequence
    while True:
        parameters = {"session_key": tail.ref.session_key, "after": after, "limit": MAX_REMOVED}
        ((*counters, count, after),) = await connection.fetch(_REMOVE, parameters)
        removed += count
        if count < MAX_REMOVED:
            return Truncated(removed, Counters._make(counters))
