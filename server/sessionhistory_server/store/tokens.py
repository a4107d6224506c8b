"""Replace the token counts of a session's messages and summaries.

Counting takes long, so it happens without a lock. The replacement then holds the lock of the session's row,
which every write takes first. At that time, each counted message is still stored or has been removed, and all
other messages come after the counted ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, LiteralString, NamedTuple

from sessionhistory_server.limits import MAX_RESPONSE_BYTES
from sessionhistory_server.store import paging
from sessionhistory_server.store.columns.message import MESSAGE_COLUMNS, SUMMARY_COLUMNS, message_of
from sessionhistory_server.store.columns.session import COLUMNS, session_of
from sessionhistory_server.store.columns.times import timestamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sessionhistory_server.model.message import Message
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection

_PAGE_MESSAGES: Final = 500
_MESSAGES_AT_ONCE: Final = 5_000

_NEXT_SESSIONS: Final = """
select session_key::text as key, create_time, token_counter from sessions
where session_key > %(after)s::uuid
order by session_key
limit %(limit)s::bigint
"""

_MESSAGES: Final = """
from messages where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint order by sequence
"""

_SUMMARIES: Final = """
from summaries where session_key = %(session_key)s::uuid and through_sequence > %(after)s::bigint
order by through_sequence
"""

_REPLACE_SUMMARIES: Final = """
update summaries set token_count = new.token_count
from unnest(%(sequences)s::bigint[], %(counts)s::integer[]) as new (sequence, token_count)
where session_key = %(session_key)s::uuid and through_sequence = new.sequence
"""

# coalesce: the planner finds the row by its key, not by its time.
_LOCK: Final = """
select true from sessions
where session_key = %(session_key)s::uuid and coalesce(create_time = %(create_time)s::timestamptz, false)
for update
"""

_NEXT_LOCKED: Final = """
select ctid::text, sequence, pinned, token_count, tokens_through from messages
where session_key = %(session_key)s::uuid and sequence > %(after)s::bigint
order by sequence
limit %(limit)s::bigint
"""

# The statement finds rows by their ctid, which is faster than an index. If the planner expected many rows to
# exchange, it would read the whole session instead. The sub-selects hide the length of the arrays, even if it
# knows the parameters. With a limit that it does not know, it expects one row.
_REPLACE: Final = """
with exchanged as (
update messages
set token_count = new.token_count, tokens_through = new.tokens_through
from (
    select * from unnest(
        (select %(places)s::tid[]), (select %(counts)s::integer[]), (select %(throughs)s::bigint[])
    ) as new (place, token_count, tokens_through)
    limit (select %(exchanges)s::bigint)
) as new
where session_key = %(session_key)s::uuid and messages.ctid = new.place
returning true
)
select count(*) from exchanged
"""

_FINISH: Final = f"""
update sessions
set token_counter = %(token_counter)s::text, total_tokens = %(total_tokens)s::bigint,
    unpinned_tokens = %(unpinned_tokens)s::bigint
where session_key = %(session_key)s::uuid
returning {COLUMNS}
"""


class SessionKey(NamedTuple):
    """The identity of a session. A later session with the same id has another ``create_time``."""

    session_key: str
    create_time: int


class Counts:
    """New token counts of a session's messages, by ascending sequence. Each count takes 12 bytes."""

    def __init__(self) -> None:
        self._sequences = array("q")
        self._counts = array("i")

    @property
    def last_sequence(self) -> int:
        """The sequence of the last counted message; 0 if there is none."""
        return self._sequences[-1] if self._sequences else 0

    def add(self, counted: Sequence[Message], counts: Iterable[int]) -> None:
        """Add the counts of the next messages."""
        self._sequences.extend(message.sequence for message in counted)
        self._counts.extend(counts)

    def of(self, sequences: Iterable[int]) -> list[int]:
        """Return the counts of some counted messages, by ascending sequence."""
        found, place = [], 0
        for sequence in sequences:
            place = bisect_left(self._sequences, sequence, lo=place)
            found.append(self._counts[place])
        return found


class _LockedMessage(NamedTuple):
    """A message of the locked session, with the ctid of its row."""

    place: str
    sequence: int
    pinned: bool
    token_count: int
    tokens_through: int


class _Totals(NamedTuple):
    total_tokens: int = 0
    unpinned_tokens: int = 0
    changed_messages: int = 0


async def next_sessions(connection: Connection, after: str, *, limit: int) -> list[tuple[SessionKey, str]]:
    """Return the next sessions, live or not, in the order of their keys, each with its token counter."""
    parameters = {"after": after, "limit": limit}
    found = await connection.fetch(_NEXT_SESSIONS, parameters)
    return [(SessionKey(key, time), counter) for key, time, counter in found]


async def next_messages(connection: Connection, session_key: str, after: int) -> tuple[list[Message], bool]:
    """Return the next page of messages after a sequence, and whether more follow."""
    return await _next(connection, ", ".join(MESSAGE_COLUMNS), _MESSAGES, session_key, after)


async def next_summaries(connection: Connection, session_key: str, after: int) -> tuple[list[Message], bool]:
    """Return the next page of summaries after a ``through_sequence``, and whether more follow."""
    return await _next(connection, ", ".join(SUMMARY_COLUMNS), _SUMMARIES, session_key, after)


async def _next(
    connection: Connection, columns: LiteralString, where: LiteralString, session_key: str, after: int
) -> tuple[list[Message], bool]:
    found, more = await paging.fetch(
        connection,
        columns,
        "size_bytes",
        where,
        {"session_key": session_key, "after": after},
        page_size=_PAGE_MESSAGES,
        max_bytes=MAX_RESPONSE_BYTES,
    )
    return [message_of(row) for row in found], more


@asynccontextmanager
async def locked(connection: Connection, key: SessionKey) -> AsyncIterator[bool]:
    """Lock a session for a transaction; yield whether it still exists."""
    parameters = {"session_key": key.session_key, "create_time": timestamp(key.create_time)}
    async with connection.transaction():
        yield bool(await connection.fetch(_LOCK, parameters))


async def replace_counts(
    connection: Connection, session_key: str, counts: Counts, token_counter: str
) -> tuple[Session, int]:
    """Replace the counts of all messages of a locked session, and the session's totals.

    Returns:
        The session, and how many of its messages have another count than before.
    """
    totals, after = _Totals(), 0
    while found := await _next_locked(connection, session_key, after):
        totals = await _replace_next(connection, session_key, found, counts, totals)
        after = found[-1].sequence
    parameters = {
        "session_key": session_key,
        "token_counter": token_counter,
        "total_tokens": totals.total_tokens,
        "unpinned_tokens": totals.unpinned_tokens,
    }
    (row,) = await connection.fetch(_FINISH, parameters)
    return session_of(row), totals.changed_messages


async def replace_summary_counts(
    connection: Connection, session_key: str, summaries: Sequence[Message], counts: Iterable[int]
) -> None:
    """Replace the counts of summaries of a locked session."""
    sequences = _array(summary.sequence for summary in summaries)
    parameters = {"session_key": session_key, "sequences": sequences, "counts": _array(counts)}
    await connection.fetch(_REPLACE_SUMMARIES, parameters)


async def _next_locked(connection: Connection, session_key: str, after: int) -> list[_LockedMessage]:
    parameters = {"session_key": session_key, "after": after, "limit": _MESSAGES_AT_ONCE}
    return [_LockedMessage._make(row) for row in await connection.fetch(_NEXT_LOCKED, parameters)]


async def _replace_next(
    connection: Connection, session_key: str, found: Sequence[_LockedMessage], counts: Counts, totals: _Totals
) -> _Totals:
    """Replace the counts of the next messages; return the totals that include them."""
    total, through, changed = totals
    new = []
    for message, count in zip(found, counts.of(message.sequence for message in found), strict=True):
        total += count
        through += 0 if message.pinned else count
        changed += count != message.token_count
        if (count, through) != (message.token_count, message.tokens_through):
            new.append((f'"{message.place}"', count, through))
    if new:
        arrays = dict(zip(("places", "counts", "throughs"), map(_array, zip(*new, strict=True)), strict=True))
        parameters = {"session_key": session_key, "exchanges": len(new)} | arrays
        ((exchanged,),) = await connection.fetch(_REPLACE, parameters)
        assert exchanged == len(new), "the session is locked"  # noqa: S101 - or nothing is committed
    return _Totals(total, through, changed)


def _array(elements: Iterable[object]) -> str:
    """Return numbers or quoted texts as the text of a Postgres array."""
    return "{" + ",".join(map(str, elements)) + "}"
