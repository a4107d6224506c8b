"""Store batches of several calls: in one statement, or in a transaction on the machine of their session.

A batch is left out if it cannot be stored with the others, or if it is behind such a batch in its order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.model.session import Counters
from sessionhistory_server.model.tokens import MIXED
from sessionhistory_server.store.appends import storing
from sessionhistory_server.store.appends.single import appended_of
from sessionhistory_server.store.appends.storing import SHORT_LOCK_TIMEOUT
from sessionhistory_server.store.columns.message import (
    INSERT_COLUMNS,
    INSERT_VALUES,
    JSON_RECORD,
    message_records,
    to_json,
)
from sessionhistory_server.store.columns.session import title_parameter
from sessionhistory_server.store.session_ref import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionhistory_server.model.message import Appended, NewMessage
    from sessionhistory_server.store.appends.batch import Batch
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

# SHORT_LOCK_TIMEOUT: a locked session does not delay the other sessions of the statement. keys: no plan reads
# other rows, even a plan that was made while the table was empty. asked is in the order of the keys, so that
# two such statements cannot deadlock.
_APPEND: Final = f"""
with session as (
update sessions
set last_sequence = last_sequence + asked.messages,
    message_count = message_count + asked.messages,
    total_tokens = sessions.total_tokens + asked.tokens,
    unpinned_tokens = sessions.unpinned_tokens + asked.tokens,
    unpinned_bytes = sessions.unpinned_bytes + asked.bytes,
    title = coalesce(title, asked.new_title),
    active_time = greatest(active_time, now())
from json_to_recordset(%(sessions)s::json) as asked (
    place bigint, key uuid, owner text, bound_application_id text, messages bigint, tokens bigint,
    bytes bigint, new_title text, required_counter text, max_messages bigint
), {SHORT_LOCK_TIMEOUT}
where session_key = any(%(keys)s::uuid[]) and session_key = asked.key
  and (asked.owner is null or user_id = asked.owner)
  and (asked.bound_application_id is null or application_id = asked.bound_application_id)
  and {LIVE} and status = 'ACTIVE'
  and (asked.max_messages is null or message_count + asked.messages <= asked.max_messages)
  and (asked.required_counter is null or token_counter in (asked.required_counter, '{MIXED}'))
returning place, session_key, last_sequence, message_count, sessions.total_tokens, active_time, user_id,
          last_sequence - asked.messages as base_sequence,
          sessions.unpinned_tokens - asked.tokens as base_tokens,
          sessions.unpinned_bytes - asked.bytes as base_bytes
), stored as (
    insert into messages (session_key, sequence, create_time, {INSERT_COLUMNS})
    select session.session_key, session.base_sequence + new.ordinal, session.active_time,
           {INSERT_VALUES}
    from session
    join json_to_recordset(%(messages)s::json) as new (place bigint, {JSON_RECORD}) using (place)
)
select place, last_sequence, message_count, total_tokens, active_time, user_id from session
"""


@dataclass(slots=True)
class _Session:
    """The messages for one session, and their indexes among the batches of the statement."""

    ref: SessionRef
    token_counter: str
    max_messages: int | None
    required_counter: str | None = None
    messages: list[NewMessage] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def record(self, place: int) -> dict[str, Any]:
        return {
            "place": place,
            "key": self.ref.session_key,
            "owner": self.ref.user_id,
            "bound_application_id": self.ref.bound_application_id,
            "messages": len(self.messages),
            "tokens": sum(message.token_count for message in self.messages),
            "bytes": sum(message.size_bytes for message in self.messages),
            "new_title": title_parameter(self.messages),
            "required_counter": self.required_counter,
            "max_messages": self.max_messages,
        }

    def outcomes(
        self, counters: Counters, create_time: int, user_id: str | None
    ) -> Iterator[tuple[int, Appended]]:
        """Yield the index and the outcome of each batch, with the session's counters after its message."""
        for place, message in reversed(list(zip(self.places, self.messages, strict=True))):
            yield place, appended_of([message], counters, create_time, user_id, session_created=False)
            last, count, tokens = counters
            counters = Counters(last - 1, count - 1, tokens - message.token_count)


async def append_in_one_statement(connection: Connection, batches: Sequence[Batch]) -> list[Appended | None]:
    """Store batches in one statement; return ``None`` for each batch that was not stored."""
    outcomes: list[Appended | None] = [None] * len(batches)
    if not batches:
        return outcomes
    asked = _by_session(batches)
    parameters = {
        "keys": f"{{{','.join(one.ref.session_key for one in asked)}}}",
        "sessions": to_json(one.record(place) for place, one in enumerate(asked)),
        "messages": to_json(
            record | {"place": place}
            for place, one in enumerate(asked)
            for record in message_records(one.messages)
        ),
    }
    for place, *counters, create_time, user_id in await connection.fetch(_APPEND, parameters):
        for index, appended in asked[place].outcomes(Counters(*counters), create_time, user_id):
            outcomes[index] = appended
    return outcomes


async def append_to_one_session(connection: Connection, batches: Sequence[Batch]) -> list[Appended | None]:
    """Store batches in one transaction; return ``None`` for all if they are for several sessions."""
    outcomes: list[Appended | None] = [None] * len(batches)
    asked = _by_session(batches)
    if len(asked) == 1:
        (one,) = asked
        batch = batches[one.places[0]]._replace(messages=one.messages)
        parameters = storing.parameters_of(batch)
        if written := await storing.write(connection, storing.APPEND, parameters, batch):
            for index, appended in one.outcomes(*written):
                outcomes[index] = appended
    return outcomes


def _by_session(batches: Sequence[Batch]) -> list[_Session]:
    """Group batches by session, as their callers name it, in the order of the keys.

    A batch is left out if it differs from the first one of its session in token counter, repeats the id of a
    message, or is behind a batch that is left out. If callers name one session with different users, the
    statement stores the batches of one of those that may write it, and of no other caller.
    """
    sessions: dict[SessionRef, _Session] = {}
    taken = set()
    for place, batch in enumerate(batches):
        session = sessions.get(batch.ref)
        if session is None:
            session = _Session(batch.ref, batch.token_counter, batch.room.max_messages)
            sessions[batch.ref] = session
        (message,) = batch.messages
        identity = (batch.ref, message.content.message_id)
        fits = session.token_counter == batch.token_counter and identity not in taken
        if not fits or not batch.is_in_order:
            batch.leave_out()
            continue
        taken.add(identity)
        session.required_counter = session.required_counter or batch.required_counter
        session.messages.append(message)
        session.places.append(place)
    return sorted(sessions.values(), key=lambda session: session.ref.session_key)
