"""Find the messages of a retried append that a session has stored already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import message_id_reused
from sessionhistory_server.model.message import Appended, Message
from sessionhistory_server.store.columns.message import MESSAGE_COLUMNS, message_of
from sessionhistory_server.store.guard import SNAPSHOT_COLUMNS, SessionSnapshot, require_usable
from sessionhistory_server.store.session_ref import NAMED

if TYPE_CHECKING:
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection

_SNAPSHOT_END: Final = len(SessionSnapshot._fields)

# lateral: one read for each id. With one read for all ids, the planner may read the whole session. A session
# that has none of the messages returns one row, with nulls after the snapshot.
_STORED: Final = f"""
select {SNAPSHOT_COLUMNS}, stored.*
from sessions left join (
    select stored.* from unnest(%(message_ids)s::text[]) as wanted (message_id) cross join lateral (
        select {", ".join(f"{name} as stored_{name}" for name in MESSAGE_COLUMNS)} from messages
        where session_key = %(session_key)s::uuid and messages.message_id = wanted.message_id
        limit 1
    ) as stored
) as stored on true
where {NAMED}
"""


class Stored(NamedTuple):
    """A session, and its messages with an id of a batch, in one snapshot."""

    session: SessionSnapshot
    by_id: dict[str, Message]


async def read_stored(connection: Connection, batch: Batch) -> Stored | None:
    """Return a batch's session and its stored messages of the batch; ``None`` if the caller has no session.

    One statement reads both, so that they are of one snapshot.

    Raises:
        NotFoundError: the session is deleted or expired.
    """
    parameters = {**batch.ref._asdict(), "message_ids": batch.message_ids}
    found = await connection.fetch(_STORED, parameters)
    if not found:
        return None
    session = SessionSnapshot._make(found[0][:_SNAPSHOT_END])
    require_usable(session, batch.ref, creates=batch.creates)
    stored = [row[_SNAPSHOT_END:] for row in found if row[_SNAPSHOT_END] is not None]
    return Stored(session, {m.content.message_id: m for m in map(message_of, stored)})


def as_stored(batch: Batch, found: Stored) -> Appended | None:
    """Return the batch as the session has stored it; ``None`` if no message of it is stored.

    Raises:
        AlreadyExistsError: only a part of the batch is stored, or the contents differ.
    """
    by_id = found.by_id
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
    return Appended(stored, found.session.counters, session_created=False, stored_before=True)
