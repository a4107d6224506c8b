"""Appends of several callers in one statement and one commit.

It stores what nothing stands in the way of, and leaves the rest to ``append``, one by one: sessions that are
to be made, retries, and whatever is to be refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg

from sessionhistory_server.limits import KIB
from sessionhistory_server.model import MIXED, Counters
from sessionhistory_server.store import dberrors, rows
from sessionhistory_server.store.append import PATIENCE, append, append_at_once, first_user_text, stored
from sessionhistory_server.store.coalescer import Coalescer
from sessionhistory_server.store.sessions import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionhistory_server.model import Appended, NewMessage
    from sessionhistory_server.store.append import Batch
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database
    from sessionhistory_server.store.sessions import SessionRef

_MAX_BATCH: Final = 64
_MAX_MESSAGE_BYTES: Final = 64 * KIB

# patience: neighbours do not wait for a session that somebody has locked.
# keys: so that no plan reads other rows, even one that was made when there were none.
# asked comes in the order of keys, so that two such statements cannot wait for each other.
_APPEND: Final = f"""
with session as (
update sessions
set last_sequence = last_sequence + asked.messages,
    message_count = message_count + asked.messages,
    total_tokens = sessions.total_tokens + asked.tokens,
    unpinned_tokens = sessions.unpinned_tokens + asked.tokens,
    unpinned_bytes = sessions.unpinned_bytes + asked.bytes,
    title = coalesce(title, asked.user_text),
    active_time = greatest(active_time, now())
from json_to_recordset(%(sessions)s::json) as asked (
    place bigint, key uuid, owner text, messages bigint, tokens bigint, bytes bigint,
    user_text text, required_counter text
), {PATIENCE}
where session_key = any(%(keys)s::uuid[]) and session_key = asked.key
  and (asked.owner is null or user_id = asked.owner) and {LIVE} and status = 'ACTIVE'
  and (asked.required_counter is null or token_counter in (asked.required_counter, '{MIXED}'))
returning place, session_key, last_sequence, message_count, sessions.total_tokens, active_time,
          last_sequence - asked.messages as base_sequence,
          sessions.unpinned_tokens - asked.tokens as base_tokens,
          sessions.unpinned_bytes - asked.bytes as base_bytes
), stored as (
    insert into messages (session_key, sequence, create_time, {rows.SENT_COLUMNS})
    select session.session_key, session.base_sequence + new.ordinal, session.active_time, {rows.SENT_VALUES}
    from session
    join json_to_recordset(%(messages)s::json) as new (place bigint, {rows.SENT_RECORD}) using (place)
)
select place, last_sequence, message_count, total_tokens, active_time from session
"""


class SharedAppends:
    """Appends to a database; those that come at the same time share a statement where they can."""

    def __init__(self, database: Database, *, coalesce: bool) -> None:
        self._database = database
        self._coalesce = coalesce
        self._coalescer: Coalescer[Batch, Appended | None] = Coalescer(
            lambda take: database.run(lambda connection: _append(connection, take())),
            max_batch=_MAX_BATCH,
        )

    async def append(self, batch: Batch) -> Appended:
        """Store a batch, as ``append.append`` does."""
        if self._coalesce and _is_sharable(batch) and (appended := await self._coalescer.ask(batch)):
            return appended
        return await self._database.write(lambda connection: append(connection, batch))


@dataclass(slots=True)
class _Session:
    """What is to be appended to one session, and the places of it among all that is asked."""

    ref: SessionRef
    token_counter: str
    required_counter: str | None = None
    messages: list[NewMessage] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def record(self, place: int) -> dict[str, Any]:
        return {
            "place": place,
            "key": self.ref.session_key,
            "owner": self.ref.user_id,
            "messages": len(self.messages),
            "tokens": sum(message.token_count for message in self.messages),
            "bytes": sum(message.size_bytes for message in self.messages),
            "user_text": first_user_text(self.messages),
            "required_counter": self.required_counter,
        }

    def outcomes(self, counters: Counters, create_time: int) -> Iterator[tuple[int, Appended]]:
        """Yield what each caller is told: the counters as they were after its own message."""
        for place, message in reversed(list(zip(self.places, self.messages, strict=True))):
            yield place, stored([message], counters, create_time, session_created=False)
            last, count, tokens = counters
            counters = Counters(last - 1, count - 1, tokens - message.token_count)


def _is_sharable(batch: Batch) -> bool:
    if len(batch.messages) > 1 or batch.expected_last_sequence is not None or batch.token_counter == MIXED:
        return False
    (message,) = batch.messages
    return not message.content.pinned and message.size_bytes <= _MAX_MESSAGE_BYTES


async def _append(connection: Connection, batches: Sequence[Batch]) -> Sequence[Appended | None]:
    """Store what can be stored at once; ``None`` for what was not."""
    try:
        if len(batches) == 1:
            return [await append_at_once(connection, batches[0])]
        return await _append_together(connection, batches)
    except psycopg.Error as error:
        if dberrors.is_unavailable(error):
            raise
        return [None] * len(batches)  # whose fault it was is found one by one


async def _append_together(connection: Connection, batches: Sequence[Batch]) -> list[Appended | None]:
    outcomes: list[Appended | None] = [None] * len(batches)
    if not batches:
        return outcomes
    asked = _by_session(batches)
    parameters = {
        "keys": f"{{{','.join(one.ref.session_key for one in asked)}}}",
        "sessions": rows.encode(one.record(place) for place, one in enumerate(asked)),
        "messages": rows.encode(
            record | {"place": place}
            for place, one in enumerate(asked)
            for record in rows.records(one.messages)
        ),
    }
    for place, *counters, create_time in await connection.fetch(_APPEND, parameters):
        for index, appended in asked[place].outcomes(Counters(*counters), create_time):
            outcomes[index] = appended
    return outcomes


def _by_session(batches: Sequence[Batch]) -> list[_Session]:
    """Group batches by session, in the order of keys; leave out who names another owner, or an id again."""
    sessions: dict[str, _Session] = {}
    taken = set()
    for place, batch in enumerate(batches):
        session = sessions.get(batch.ref.session_key)
        if session is None:
            session = sessions[batch.ref.session_key] = _Session(batch.ref, batch.token_counter)
        (message,) = batch.messages
        identity = (batch.ref.session_key, message.content.message_id)
        same = session.ref == batch.ref and session.token_counter == batch.token_counter
        if same and identity not in taken:
            taken.add(identity)
            session.required_counter = session.required_counter or batch.required_counter
            session.messages.append(message)
            session.places.append(place)
    return [sessions[key] for key in sorted(sessions)]
