"""Read single messages, and pages of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server.errors import message_not_found, session_not_found
from sessionhistory_server.store import paging
from sessionhistory_server.store.columns.message import MESSAGE_COLUMNS, message_of
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.session_ref import LIVE, NAMED

if TYPE_CHECKING:
    from sessionhistory_server.model.filters import MessageFilter
    from sessionhistory_server.model.message import Message
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

_COLUMNS: Final = ", ".join(MESSAGE_COLUMNS)

# limit 1: otherwise the planner does not know that this is one row.
_SESSION: Final = f"(select true from sessions where {NAMED} and {LIVE} limit 1) as session"

_OF_SESSION: Final = "messages.session_key = %(session_key)s::uuid"

# A row without a message means that the session exists and the message does not.
_GET_BY_ID: Final = f"""
select sequence is not null, {_COLUMNS}
from {_SESSION} left join messages
  on {_OF_SESSION} and message_id = %(message_id)s::text
"""

# >= and order by: only the index of sequences has that order, also before the tables are analyzed.
_GET_BY_SEQUENCE: Final = f"""
select sequence is not null, {_COLUMNS}
from {_SESSION} left join (
    select * from messages where {_OF_SESSION} and sequence >= %(sequence)s::bigint
    order by sequence
    limit 1
) as message on sequence = %(sequence)s::bigint
"""

# The condition of each field of a filter.
_CONDITIONS: Final = {
    "after_sequence": "sequence > %(after_sequence)s::bigint",
    "before_sequence": "sequence < %(before_sequence)s::bigint",
    "roles": "role = any(%(roles)s::text[])",
    "create_time_after": "create_time > %(create_time_after)s::timestamptz",
    "create_time_before": "create_time < %(create_time_before)s::timestamptz",
}


async def get(
    connection: Connection, ref: SessionRef, *, message_id: str | None, sequence: int | None
) -> Message:
    """Return one message, by id or else by sequence.

    Raises:
        NotFoundError: there is no such session for this caller, or no such message in it.
    """
    query = _GET_BY_SEQUENCE if message_id is None else _GET_BY_ID
    parameters = ref._asdict() | {"message_id": message_id, "sequence": sequence}
    found = await connection.fetch(query, parameters)
    if not found:
        raise session_not_found(ref.session_id)
    (row,) = found
    if not row[0]:
        sought = f"with sequence {sequence}" if message_id is None else repr(message_id)
        raise message_not_found(ref.session_id, sought)
    return message_of(row[1:])


async def find(
    connection: Connection,
    ref: SessionRef,
    wanted: MessageFilter,
    after: int | None,
    *,
    page_size: int,
    max_bytes: int,
) -> tuple[list[Message], int | None]:
    """Return a page of a session's messages, and the sequence where it ended if more follow.

    Raises:
        NotFoundError: there is no such session for this caller.
    """
    values = _values(wanted)
    conditions = [_CONDITIONS[name] for name in values]
    if after is not None:
        conditions.append(f"sequence {'<' if wanted.descending else '>'} %(after)s::bigint")
        values["after"] = after
    page = paging.statement(
        _COLUMNS,
        "size_bytes",
        f"from messages where {' and '.join((_OF_SESSION, *conditions))}"
        f" order by sequence {'desc' if wanted.descending else 'asc'}",
    )
    # A row without a message means that the session exists and the page is empty.
    found = await connection.fetch(
        f"select page.* from {_SESSION} left join ({page}) as page on true order by page_row",
        {**ref._asdict(), **values, "page_size": page_size, "max_bytes": max_bytes},
        named=False,
    )
    if not found:
        raise session_not_found(ref.session_id)
    in_page, more = paging.cut([row for row in found if row[0] is not None])
    listed = [message_of(row) for row in in_page]
    return listed, listed[-1].sequence if more else None


def _values(wanted: MessageFilter) -> dict[str, Any]:
    """Return the parameters of the conditions that a filter sets, under the names of its fields."""
    values = {
        "after_sequence": wanted.after_sequence or None,
        "before_sequence": wanted.before_sequence,
        "roles": list(wanted.roles) or None,
        "create_time_after": timestamp(wanted.create_time_after),
        "create_time_before": timestamp(wanted.create_time_before),
    }
    return {name: value for name, value in values.items() if value is not None}
