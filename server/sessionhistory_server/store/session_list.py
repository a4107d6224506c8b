"""Lists of sessions: filtered, newest first, by keyset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ARRAY, Text, any_, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from sessionhistory_server.store._composed import fetch_page
from sessionhistory_server.store.schema import sessions
from sessionhistory_server.store.sessions import FIELDS, is_live, session_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Column, ColumnElement

    from sessionhistory_server.model import Session
    from sessionhistory_server.store.database import Connection

# What a session takes in a response beside its texts: numbers, times, and the frames around them.
_OVERHEAD_BYTES: Final = 512
# A map entry's frame on the wire is larger than its quotes and commas in JSON by at most this.
_LABELS_OVERHEAD_BYTES: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions to list; all conditions must hold. Time bounds are exclusive."""

    user_id: str | None = None
    statuses: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    title_contains: str | None = None
    create_time_after: int | None = None
    create_time_before: int | None = None
    active_after: int | None = None
    active_before: int | None = None
    show_deleted: bool = False
    by_creation: bool = False


class SessionPosition(NamedTuple):
    """The last session of a page: its time in the order of the list, and its key."""

    time: int
    session_key: str


async def find(
    connection: Connection,
    tenant_id: str,
    wanted: SessionFilter,
    after: SessionPosition | None,
    *,
    page_size: int,
    max_bytes: int,
) -> tuple[list[Session], SessionPosition | None]:
    """Return a page of sessions, newest first, and where it ended if more follow."""
    time = sessions.c.create_time if wanted.by_creation else sessions.c.active_time
    key = sessions.c.session_key
    statement = (
        select(*(sessions.c[name] for name in FIELDS), time.label("position"), key)
        .where(sessions.c.tenant_id == tenant_id, *_conditions(wanted))
        .order_by(time.desc(), key.desc())
    )
    if after is not None:
        statement = statement.where(tuple_(time, key) < _literals(after, time, key))
    rows, more = await fetch_page(connection, statement, _size_bytes(), page_size, max_bytes)
    last = SessionPosition(rows[-1][-2], str(rows[-1][-1])) if more else None
    return [session_of(row[:-2]) for row in rows], last


def _literals(position: SessionPosition, time: Column[Any], key: Column[Any]) -> ColumnElement[Any]:
    return tuple_(literal(timestamp(position.time), time.type), literal(position.session_key, key.type))


def _conditions(wanted: SessionFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.user_id is not None:
        yield sessions.c.user_id == wanted.user_id
    if not wanted.show_deleted:
        yield is_live()
    if wanted.statuses:
        yield sessions.c.status == any_(literal(list(wanted.statuses), ARRAY(Text)))
    if wanted.labels:
        labels = cast(literal(json.dumps(wanted.labels), Text), JSONB)
        yield sessions.c.labels.op("@>")(labels)
    if wanted.title_contains is not None:
        yield sessions.c.title.icontains(wanted.title_contains, autoescape=True)
    yield from _time_conditions(wanted)


def _time_conditions(wanted: SessionFilter) -> Iterator[ColumnElement[bool]]:
    bounds = (
        (sessions.c.create_time, wanted.create_time_after, wanted.create_time_before),
        (sessions.c.active_time, wanted.active_after, wanted.active_before),
    )
    for column, after, before in bounds:
        if after is not None:
            yield column > literal(timestamp(after), column.type)
        if before is not None:
            yield column < literal(timestamp(before), column.type)


def _size_bytes() -> ColumnElement[int]:
    """Return a bound of a session's size in a response; it reads no out-of-line text."""
    names = ("session_id", "user_id", "title", "model", "metadata", "state", "token_counter")
    texts = (sessions.c[name] for name in names)
    lengths = [func.coalesce(func.octet_length(text), 0) for text in texts]
    labels = func.octet_length(cast(sessions.c.labels, Text)) + _LABELS_OVERHEAD_BYTES
    return sum(lengths, start=labels + _OVERHEAD_BYTES)
