"""Reading messages back, one by one and page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionhistory_server.errors import message_not_found, session_not_found
from sessionhistory_server.store import pages, rows
from sessionhistory_server.store.sessions import LIVE, NAMED, timestamp

if TYPE_CHECKING:
    from sessionhistory_server.model import Message
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.sessions import SessionRef

_COLUMNS: Final = ", ".join(rows.FIELDS)

_SESSION: Final = f"(select session_key from sessions where {NAMED} and {LIVE}) as session"

# A row without a message: the session is there and the message is not.
_GET_BY_ID: Final = f"""
select sequence is not null, {_COLUMNS}
from {_SESSION} left join messages
  on messages.session_key = session.session_key and message_id = %(message_id)s::text
"""

# >= and the order: so that only the index of sequences will do, before the tables are analyzed as well.
_GET_BY_SEQUENCE: Final = f"""
select sequence is not null, {_COLUMNS}
from {_SESSION} left join lateral (
    select * from messages
    where messages.session_key = session.session_key and sequence >= %(sequence)s::bigint
    order by sequence
    limit 1
) as message on sequence = %(sequence)s::bigint
"""

_IS_LIVE: Final = f"select true from {_SESSION}"

# What each field of a filter asks of a message, and the end of the page before.
_CONDITIONS: Final = {
    "after_sequence": "sequence > %(after_sequence)s::bigint",
    "before_sequence": "sequence < %(before_sequence)s::bigint",
    "roles": "role = any(%(roles)s::text[])",
    "create_time_after": "create_time > %(create_time_after)s::timestamptz",
    "create_time_before": "create_time < %(create_time_before)s::timestamptz",
}


class MessageFilter(NamedTuple):
    """Which messages of a session to list; all conditions must hold. Bounds are exclusive."""

    after_sequence: int = 0
    before_sequence: int | None = None
    roles: tuple[str, ...] = ()
    create_time_after: int | None = None
    create_time_before: int | None = None
    descending: bool = False


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
    return rows.message_of(row[1:])


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
    if not await connection.fetch(_IS_LIVE, ref._asdict()):
        raise session_not_found(ref.session_id)
    values = _values(wanted)
    conditions = [_CONDITIONS[name] for name in values]
    if after is not None:
        conditions.append(f"sequence {'<' if wanted.descending else '>'} %(after)s::bigint")
        values["after"] = after
    found, more = await pages.fetch(
        connection,
        _COLUMNS,
        "size_bytes",
        f"from messages where {' and '.join(('session_key = %(session_key)s::uuid', *conditions))}"
        f" order by sequence {'desc' if wanted.descending else 'asc'}",
        {"session_key": ref.session_key, **values},
        page_size=page_size,
        max_bytes=max_bytes,
    )
    page = [rows.message_of(row) for row in found]
    return page, page[-1].sequence if more else None


def _values(wanted: MessageFilter) -> dict[str, Any]:
    """Return the parameters of the conditions that a filter sets, by their names."""
    values = {
        "after_sequence": wanted.after_sequence or None,
        "before_sequence": wanted.before_sequence,
        "roles": list(wanted.roles) or None,
        "create_time_after": timestamp(wanted.create_time_after),
        "create_time_before": timestamp(wanted.create_time_before),
    }
    return {name: value for name, value in values.items() if value is not None}
