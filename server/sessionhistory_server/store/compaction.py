"""Summaries: each stands for all unpinned messages up to one of them.

All happens under the lock of the session's row. Older summaries stay, for windows that end before the newest
one; so do those of a session that another release has purged, until the next compaction of its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionhistory_server.errors import AbortedError, message_not_found, session_not_found
from sessionhistory_server.model import MIXED, MessageContent, Summary
from sessionhistory_server.store import rows
from sessionhistory_server.store.append import OtherCounterError
from sessionhistory_server.store.standing import require_last_sequence, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.model import NewMessage
    from sessionhistory_server.store.connection import Connection, Row
    from sessionhistory_server.store.sessions import SessionRef
    from sessionhistory_server.store.standing import Standing

# The orders: so that only the index of sequences will do.
_PLACE: Final = """
select sequence, tokens_through from messages
where session_key = %(session_key)s::uuid and not pinned and sequence <= %(through)s::bigint
  and (select sequence = %(through)s::bigint from messages
       where session_key = %(session_key)s::uuid and sequence >= %(through)s::bigint
       order by sequence limit 1)
order by sequence desc
limit 1
"""

_STORED: Final = f"""
select {rows.SUMMARY_COLUMNS}, covered_count from summaries
where session_key = %(session_key)s::uuid and through_sequence = %(place)s::bigint
"""

_FORGET: Final = """
delete from summaries
where session_key = %(session_key)s::uuid and through_sequence > %(after)s::bigint
"""

_SENT: Final = (*MessageContent._fields, "token_count", "size_bytes")
COPIED: Final = ("through_sequence", "create_time", "covered_count", *_SENT)
"""The columns of a summary that a copy shares with it: all but the session's key."""

# Messages that the summary before covers are not counted again.
_STORE: Final = f"""
insert into summaries (session_key, through_sequence, create_time, covered_count, {", ".join(_SENT)})
select %(session_key)s::uuid, %(place)s::bigint, now(), coalesce(former.covered_count, 0) + later.count,
       {", ".join("decode(new.payload, 'base64')" if name == "payload" else f"new.{name}" for name in _SENT)}
from json_to_recordset(%(message)s::json) as new ({rows.SENT_RECORD})
left join lateral (
    select through_sequence, covered_count from summaries
    where session_key = %(session_key)s::uuid and through_sequence < %(place)s::bigint
    order by through_sequence desc
    limit 1
) as former on true
cross join lateral (
    select count(*) from (
        select sequence from messages
        where session_key = %(session_key)s::uuid and not pinned
          and sequence > coalesce(former.through_sequence, 0) and sequence <= %(place)s::bigint
        order by sequence
    ) as covered
) as later
on conflict (session_key, through_sequence) do update
set create_time = excluded.create_time, {", ".join(f"{name} = excluded.{name}" for name in _SENT)}
returning {rows.SUMMARY_COLUMNS}, covered_count
"""

_MARK: Final = """
update sessions
set compacted_through_sequence = greatest(compacted_through_sequence, %(place)s::bigint),
    token_counter = %(token_counter)s::text
where session_key = %(session_key)s::uuid
"""

_UNMARK: Final = """
update sessions
set compacted_through_sequence = coalesce((
    select through_sequence from summaries
    where session_key = %(session_key)s::uuid and through_sequence <= %(after)s::bigint
    order by through_sequence desc
    limit 1
), 0)
where session_key = %(session_key)s::uuid
"""


class Compaction(NamedTuple):
    """A summary to store, for the messages up to a sequence, and what the caller expects of the session."""

    ref: SessionRef
    through_sequence: int
    message: NewMessage
    made_id: str
    """What the message is to be called if the caller has not said."""
    token_counter: str
    """What has counted the message; ``MIXED`` leaves the session so."""
    expected_last_sequence: int | None
    expected_compacted_through_sequence: int | None


async def compact(connection: Connection, asked: Compaction) -> Summary:
    """Store a summary, or return it if it is stored already.

    Raises:
        NotFoundError: there is no such session for this caller, or no such message to cover.
        AbortedError: the session is not as expected.
        OtherCounterError: the message must be counted by another counter.
    """
    async with connection.transaction():
        found = await standing(connection, asked.ref, lock=True)
        if found is None or not found.usable:
            raise session_not_found(asked.ref.session_id)
        place, covered_tokens = await _place(connection, asked)
        key = {"session_key": asked.ref.session_key, "place": place}
        stored = await connection.fetch(_STORED, key)
        if not stored or not _is_same(asked.message.content, rows.message_of(stored[0]).content):
            _require_expected(asked, found)
            stored = await _store(connection, asked, found, key)
        (row,) = stored
    return Summary(rows.message_of(row), row[-1], covered_tokens)


async def uncompact(connection: Connection, ref: SessionRef, after_sequence: int) -> None:
    """Remove the summaries that cover messages after a sequence; the session is locked."""
    parameters = {"session_key": ref.session_key, "after": after_sequence}
    await connection.fetch(_FORGET, parameters)
    await connection.fetch(_UNMARK, parameters)


async def _place(connection: Connection, asked: Compaction) -> tuple[int, int]:
    """Return the last message that the summary covers, and the tokens of all that it does."""
    parameters = {"session_key": asked.ref.session_key, "through": asked.through_sequence}
    found = await connection.fetch(_PLACE, parameters)
    if not found:
        sought = f"with sequence {asked.through_sequence}, or only pinned ones up to it"
        raise message_not_found(asked.ref.session_id, sought)
    ((place, covered_tokens),) = found
    return place, covered_tokens


def _is_same(new: MessageContent, old: MessageContent) -> bool:
    return new._replace(message_id=new.message_id or old.message_id) == old


async def _store(
    connection: Connection, asked: Compaction, found: Standing, key: Mapping[str, Any]
) -> list[Row]:
    content = asked.message.content
    named = asked.message._replace(content=content._replace(message_id=content.message_id or asked.made_id))
    parameters = {
        **key,
        "after": found.compacted_through_sequence,
        "message": rows.encode(rows.records([named])),
        "token_counter": _settled_counter(asked, found),
    }
    await connection.fetch(_FORGET, parameters)
    stored = await connection.fetch(_STORE, parameters)
    await connection.fetch(_MARK, parameters)
    return stored


def _require_expected(asked: Compaction, found: Standing) -> None:
    require_last_sequence(found, asked.ref, asked.expected_last_sequence)
    actual, expected = found.compacted_through_sequence, asked.expected_compacted_through_sequence
    if expected not in (None, actual):
        raise AbortedError(
            f"session {asked.ref.session_id!r} is compacted through sequence {actual}, not {expected}",
            reason="COMPACTION_MISMATCH",
            session_id=asked.ref.session_id,
            actual_compacted_through_sequence=str(actual),
        )


def _settled_counter(asked: Compaction, found: Standing) -> str:
    """Return what the session's counts come from with this summary."""
    if asked.message.content.token_count_given is not None or found.token_counter == MIXED:
        return found.token_counter
    if asked.token_counter not in (found.token_counter, MIXED):
        raise OtherCounterError(found.token_counter)
    return asked.token_counter
