"""Reading messages back, one by one and page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, any_, literal, select

from sessionhistory_server.errors import message_not_found, session_not_found
from sessionhistory_server.store import rows
from sessionhistory_server.store._composed import fetch_page
from sessionhistory_server.store.schema import messages
from sessionhistory_server.store.sessions import LIVE, NAMED, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

    from sessionhistory_server.model import Message
    from sessionhistory_server.store.database import Connection
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
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
    row = await (await connection.execute(query, parameters, binary=True, prepare=True)).fetchone()
    if row is None:
        raise session_not_found(ref.session_id)
    if not row[0]:
        raise message_not_found(ref.session_id)
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
    if await (await connection.execute(_IS_LIVE, ref._asdict(), prepare=True)).fetchone() is None:
        raise session_not_found(ref.session_id)
    sequence = messages.c.sequence
    statement = (
        select(*(messages.c[name] for name in rows.FIELDS))
        .where(messages.c.session_key == ref.session_key, *_conditions(wanted))
        .order_by(sequence.desc() if wanted.descending else sequence)
    )
    if after is not None:
        statement = statement.where(sequence < after if wanted.descending else sequence > after)
    found, more = await fetch_page(connection, statement, messages.c.size_bytes, page_size, max_bytes)
    page = [rows.message_of(row) for row in found]
    return page, page[-1].sequence if more else None


def _conditions(wanted: MessageFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.after_sequence:
        yield messages.c.sequence > wanted.after_sequence
    if wanted.before_sequence is not None:
        yield messages.c.sequence < wanted.before_sequence
    if wanted.roles:
        yield messages.c.role == any_(literal(list(wanted.roles), ARRAY(Text)))
    time = messages.c.create_time
    if wanted.create_time_after is not None:
        yield time > literal(timestamp(wanted.create_time_after), time.type)
    if wanted.create_time_before is not None:
        yield time < literal(timestamp(wanted.create_time_before), time.type)
