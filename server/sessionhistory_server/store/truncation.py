"""Removing the newest messages of a session, and storing others in their place.

The session's row is locked first, so that nothing is appended meanwhile. What is removed is subtracted from
the running totals: those of the next message go on from the last one that is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import message_id_kept, session_not_found
from sessionhistory_server.model import Appended, Counters, Truncated
from sessionhistory_server.store import append
from sessionhistory_server.store.compaction import uncompact
from sessionhistory_server.store.standing import NEW, require_appendable, require_reached, standing

if TYPE_CHECKING:
    from sessionhistory_server.model import Message
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef
    from sessionhistory_server.store.standing import Standing

# So many at once: a statement has a time and a memory that do not grow with what there is to remove.
_MAX_REMOVED: Final = 10_000

# One by one: for a range the planner may read the session from end to end, before the tables are analyzed.
_REMOVE: Final = """
with doomed as materialized (
    select sequence from messages
    where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint
    order by sequence
    limit %(limit)s::bigint
), removed as (
    delete from messages using doomed
    where session_key = %(session_key)s::uuid and messages.sequence = doomed.sequence
    returning messages.sequence, token_count, size_bytes, pinned
), sums as (
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
    pinned_count = pinned_count - sums.pins
from sums
where session_key = %(session_key)s::uuid
returning last_sequence, message_count, total_tokens, sums.messages, sums.through
"""

_FIRST_AFTER: Final = """
select sequence from messages
where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint
order by sequence
limit 1
"""


class Tail(NamedTuple):
    """The messages of a session that come after a sequence."""

    ref: SessionRef
    after_sequence: int


async def truncate(connection: Connection, tail: Tail, *, expected_last_sequence: int | None) -> Truncated:
    """Remove the messages after a sequence.

    Raises:
        NotFoundError: there is no such session for this caller.
        FailedPreconditionError: the session is not active.
        AbortedError: its last sequence is not the expected one, or it has not come as far as the given one.
    """
    ref = tail.ref
    async with connection.transaction():
        found = await standing(connection, ref, lock=True)
        if found is None or not found.usable:
            raise session_not_found(ref.session_id)
        require_appendable(found, ref, expected_last_sequence)
        require_reached(found, ref, tail.after_sequence)
        return await _remove(connection, tail, found)


async def replace(connection: Connection, batch: Batch, after_sequence: int) -> Appended:
    """Store a batch in the place of the messages after a sequence; or return it, if it is there already.

    Raises:
        NotFoundError: there is no such session for this caller.
        AlreadyExistsError: an id is stored among the messages that are kept.
        FailedPreconditionError: the session is not active, or would have too many pinned messages.
        AbortedError: its last sequence is not the expected one, or it has not come as far as the given one.
    """
    tail = Tail(batch.ref, after_sequence)
    while True:
        async with connection.transaction():
            found = await standing(connection, batch.ref, lock=True)
            if found is not None:
                return await _replace(connection, batch, tail, found)
            if batch.create is not None:
                require_reached(NEW, batch.ref, after_sequence)
            if created := await append.create(connection, batch):
                return created


async def _replace(connection: Connection, batch: Batch, tail: Tail, found: Standing) -> Appended:
    if not found.usable:
        raise session_not_found(batch.ref.session_id)
    if stored := await _find_stored(connection, batch, tail):
        return Appended(stored, found.counters, session_created=False, stored_before=True)
    require_appendable(found, batch.ref, batch.expected_last_sequence)
    require_reached(found, batch.ref, tail.after_sequence)
    await _remove(connection, tail, found)
    return await append.append(connection, batch)


async def _find_stored(connection: Connection, batch: Batch, tail: Tail) -> list[Message] | None:
    """Return the batch if it is what the tail begins with; what else the tail holds does not count."""
    by_id = await append.stored_by_id(connection, batch)
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


async def _remove(connection: Connection, tail: Tail, found: Standing) -> Truncated:
    """Remove a tail, part by part, and the summaries of it; its session is locked."""
    if found.compacted_through_sequence > tail.after_sequence:
        await uncompact(connection, tail.ref, tail.after_sequence)
    removed, after = 0, tail.after_sequence
    while True:
        parameters = {"session_key": tail.ref.session_key, "after": after, "limit": _MAX_REMOVED}
        ((*counters, count, after),) = await connection.fetch(_REMOVE, parameters)
        removed += count
        if count < _MAX_REMOVED:
            return Truncated(removed, Counters._make(counters))
