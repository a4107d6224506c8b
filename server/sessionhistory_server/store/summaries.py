"""Store and remove summaries. A summary stands for all unpinned messages up to one of them.

Each change holds the lock of the session's row. Older summaries stay, for windows that end before the newest
one. The session's counters show whether a release without summaries has removed messages: see
``guard.SUMMARIES_IN_FORCE``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.errors import AbortedError, message_not_found, session_not_found
from sessionhistory_server.model.summary import Summary
from sessionhistory_server.model.tokens import MIXED, OtherCounterError
from sessionhistory_server.store.columns.message import (
    CONTENT_COLUMNS,
    JSON_RECORD,
    SUMMARY_COLUMNS,
    message_of,
    message_records,
    to_json,
)
from sessionhistory_server.store.guard import read_snapshot, require_last_sequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from sessionhistory_server.errors import LimitReachedError
    from sessionhistory_server.model.message import MessageContent, NewMessage
    from sessionhistory_server.model.summary import Compact
    from sessionhistory_server.store.guard import SessionSnapshot
    from sessionhistory_server.store.postgres.connection import Connection, Row
    from sessionhistory_server.store.session_ref import SessionRef

# order by: only the index of sequences has this order.
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
select {", ".join(SUMMARY_COLUMNS)}, covered_count from summaries
where session_key = %(session_key)s::uuid and through_sequence = %(place)s::bigint
  and through_sequence <= %(compacted_through)s::bigint
"""

_REMOVE_AFTER: Final = """
delete from summaries
where session_key = %(session_key)s::uuid and through_sequence > %(after)s::bigint
"""


def covered_last_exists(key: LiteralString) -> LiteralString:
    """Return the condition that the last message that a summary covers is stored.

    Args:
        key: The key of the summary's session, as SQL.
    """
    return f"""coalesce((
    select sequence = through_sequence from messages
    where messages.session_key = {key} and sequence >= through_sequence
    order by sequence
    limit 1
), false)"""


_REMOVE_VOID: Final = f"""
delete from summaries
where session_key = %(session_key)s::uuid and not {covered_last_exists("%(session_key)s::uuid")}
"""

_SENT: Final = (*CONTENT_COLUMNS, "token_count", "size_bytes")
COPIED_COLUMNS: Final = ("through_sequence", "create_time", "covered_count", *_SENT)
"""The columns that a copy takes from a summary: all but the session's key."""

# The statement reuses the count of the previous summary, and counts only later messages.
_STORE: Final = f"""
insert into summaries (session_key, through_sequence, create_time, covered_count, {", ".join(_SENT)})
select %(session_key)s::uuid, %(place)s::bigint, now(), coalesce(former.covered_count, 0) + later.count,
       {", ".join("decode(new.payload, 'base64')" if name == "payload" else f"new.{name}" for name in _SENT)}
from json_to_recordset(%(message)s::json) as new ({JSON_RECORD})
left join lateral (
    select through_sequence, covered_count from summaries
    where session_key = %(session_key)s::uuid and through_sequence < %(place)s::bigint
    order by through_sequence desc
    limit 1
) as former on true
left join lateral (
    select count(*) from (
        select sequence from messages
        where session_key = %(session_key)s::uuid and not pinned
          and sequence > coalesce(former.through_sequence, 0) and sequence <= %(place)s::bigint
        order by sequence
    ) as covered
) as later on true
on conflict (session_key, through_sequence) do update
set create_time = excluded.create_time, {", ".join(f"{name} = excluded.{name}" for name in _SENT)}
returning {", ".join(SUMMARY_COLUMNS)}, covered_count
"""

_MARK: Final = """
update sessions
set compacted_through_sequence = greatest(compacted_through_sequence, %(place)s::bigint),
    compacted_removed_count = last_sequence - message_count,
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
), 0), compacted_removed_count = last_sequence - message_count
where session_key = %(session_key)s::uuid
returning compacted_through_sequence
"""


class Compaction(NamedTuple):
    """A summary for the store: its tokens are counted."""

    asked: Compact
    tenant_id: str
    ref: SessionRef
    message: NewMessage
    made_id: str
    """The id of the message, if the caller sent none."""
    token_counter: str
    """The counter that counted the message. ``MIXED``: the session's counter becomes ``MIXED``, too."""
    refusal: LimitReachedError | None = None
    """The error for a summary without room. It is not stored, but found if it is stored already."""

    @property
    def contents(self) -> list[MessageContent]:
        """The content of the message."""
        return [self.message.content]

    def counted(self, counts: Iterable[int], token_counter: str) -> Self:
        """Return the compaction with another token count."""
        (count,) = counts
        return self._replace(message=self.message._replace(token_count=count), token_counter=token_counter)


async def compact(connection: Connection, new: Compaction) -> Summary:
    """Store a summary, or return it if it is stored already.

    Raises:
        NotFoundError: the caller has no such session, or the session has no such message.
        AbortedError: the session differs from the caller's expectations.
        LimitReachedError: there is no room for the summary.
        OtherCounterError: the message must be counted by another counter.
    """
    async with connection.transaction():
        found = await read_snapshot(connection, new.ref, lock=True)
        if found is None or not found.usable:
            raise session_not_found(new.ref.session_id)
        if not found.in_force:
            found = await remove_void_summaries(connection, new.ref.session_key, found)
        place, covered_tokens = await _place(connection, new)
        key = {"session_key": new.ref.session_key, "place": place}
        through = found.compacted_through_sequence
        stored = await connection.fetch(_STORED, {**key, "compacted_through": through})
        if not stored or not _is_same(new.message.content, message_of(stored[0]).content):
            _require_expected(new, found)
            if new.refusal:
                raise new.refusal
            stored = await _store(connection, new, found, key)
        (row,) = stored
    return Summary(message_of(row), row[-1], covered_tokens)


async def remove_summaries_after(connection: Connection, session_key: str, after_sequence: int) -> int:
    """Remove the summaries of a locked session that cover messages after a sequence.

    Returns:
        The last sequence that the remaining summaries cover; 0 if none remains.
    """
    parameters = {"session_key": session_key, "after": after_sequence}
    await connection.fetch(_REMOVE_AFTER, parameters)
    ((through,),) = await connection.fetch(_UNMARK, parameters)
    return int(through)


async def remove_void_summaries(
    connection: Connection, session_key: str, found: SessionSnapshot
) -> SessionSnapshot:
    """Remove the summaries of a locked session that are not in force; return the session without them."""
    if not found.in_force:
        await connection.fetch(_REMOVE_VOID, {"session_key": session_key})
    through = await remove_summaries_after(connection, session_key, found.compacted_through_sequence)
    return found._replace(compacted_through_sequence=through, in_force=True)


async def _place(connection: Connection, new: Compaction) -> tuple[int, int]:
    """Return the sequence of the last message to cover, and the tokens of all messages to cover."""
    parameters = {"session_key": new.ref.session_key, "through": new.asked.through_sequence}
    found = await connection.fetch(_PLACE, parameters)
    if not found:
        sought = f"with sequence {new.asked.through_sequence}, or only pinned ones up to it"
        raise message_not_found(new.ref.session_id, sought)
    ((place, covered_tokens),) = found
    return place, covered_tokens


def _is_same(new: MessageContent, old: MessageContent) -> bool:
    return new._replace(message_id=new.message_id or old.message_id) == old


async def _store(
    connection: Connection, new: Compaction, found: SessionSnapshot, key: Mapping[str, Any]
) -> list[Row]:
    content = new.message.content
    named = new.message._replace(content=content._replace(message_id=content.message_id or new.made_id))
    parameters = {
        **key,
        "after": found.compacted_through_sequence,
        "message": to_json(message_records([named])),
        "token_counter": _settled_counter(new, found),
    }
    await connection.fetch(_REMOVE_AFTER, parameters)
    stored = await connection.fetch(_STORE, parameters)
    await connection.fetch(_MARK, parameters)
    return stored


def _require_expected(new: Compaction, found: SessionSnapshot) -> None:
    require_last_sequence(found, new.ref, new.asked.expected_last_sequence)
    actual, expected = found.compacted_through_sequence, new.asked.expected_compacted_through_sequence
    if expected not in (None, actual):
        raise AbortedError(
            f"session {new.ref.session_id!r} is compacted through sequence {actual}, not {expected}",
            reason="COMPACTION_MISMATCH",
            session_id=new.ref.session_id,
            actual_compacted_through_sequence=str(actual),
        )


def _settled_counter(new: Compaction, found: SessionSnapshot) -> str:
    """Return the token counter of the session after this summary."""
    if new.message.content.token_count_given is not None or found.token_counter == MIXED:
        return found.token_counter
    if new.token_counter not in (found.token_counter, MIXED):
        raise OtherCounterError(found.token_counter)
    return new.token_counter
