"""List sessions with a filter, in either direction. A page begins after the last key of the previous page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.model.session import ACTIVE
from sessionhistory_server.store import paging
from sessionhistory_server.store.columns.session import COLUMNS, session_of
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.session_ref import LIVE, OPEN

if TYPE_CHECKING:
    from sessionhistory_server.model.filters import SessionFilter
    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection

# The bytes of a session in a response without its texts: numbers, times, and their frames.
_OVERHEAD_BYTES: Final = 512
# The maximum by which the frames of a map's entries on the wire exceed their quotes and commas in JSON.
_LABELS_OVERHEAD_BYTES: Final = 512

# An upper bound of a session's size in a response. octet_length reads no text that is stored out of line.
_SIZE_BYTES: Final = " + ".join(
    (
        f"{_OVERHEAD_BYTES + _LABELS_OVERHEAD_BYTES} + octet_length(labels::text)",
        *(
            f"coalesce(octet_length({name}), 0)"
            for name in (
                *("session_id", "user_id", "application_id", "parent_session_id"),
                *("title", "model", "metadata", "state", "token_counter"),
            )
        ),
    )
)

# The condition of each field of a filter.
_CONDITIONS: Final = {
    "user_id": "user_id = %(user_id)s::text",
    "application_id": "application_id = %(application_id)s::text",
    "statuses": "status = any(%(statuses)s::text[])",
    "labels": "labels @> %(labels)s::jsonb",
    "title_contains": "strpos(lower(title), lower(%(title_contains)s::text)) > 0",
    "create_time_after": "create_time > %(create_time_after)s::timestamptz",
    "create_time_before": "create_time < %(create_time_before)s::timestamptz",
    "last_activity_time_after": "active_time > %(last_activity_time_after)s::timestamptz",
    "last_activity_time_before": "active_time < %(last_activity_time_before)s::timestamptz",
}


class SessionPosition(NamedTuple):
    """The position after the last session of a page: its time, by which the list is ordered, and its key."""

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
    """Return a page of sessions, and its end position if more sessions follow."""
    time = "create_time" if wanted.by_creation else "active_time"
    direction, beyond = ("asc", ">") if wanted.ascending else ("desc", "<")
    order = f"order by {time} {direction}, session_key {direction}"
    values = _values(wanted)
    conditions = ["tenant_id = %(tenant_id)s::text", *(_CONDITIONS[name] for name in values)]
    if not wanted.show_deleted:
        conditions.append(LIVE)
    if after is not None:
        conditions.append(f"({time}, session_key) {beyond} (%(time)s::timestamptz, %(session_key)s::uuid)")
        values |= {"time": timestamp(after.time), "session_key": after.session_key}
    rows, more = await paging.fetch(
        connection,
        f"{COLUMNS}, {time} as position, session_key",
        _SIZE_BYTES,
        _ordered(wanted, f"where {' and '.join(conditions)}", order),
        {"tenant_id": tenant_id, **values},
        page_size=page_size,
        max_bytes=max_bytes,
    )
    last = SessionPosition(rows[-1][-2], str(rows[-1][-1])) if more else None
    return [session_of(row[:-2]) for row in rows], last


def _ordered(wanted: SessionFilter, where: LiteralString, order: LiteralString) -> LiteralString:
    """Return the matching sessions, as SQL, in an order that an index has.

    The index by user and activity has the open sessions apart from the others. So the statement reads a page
    of both ranges, and merges them.
    """
    if wanted.user_id is None or wanted.by_creation:
        return f"from sessions {where} {order}"
    only_open = wanted.statuses == (ACTIVE,) and not wanted.show_deleted
    limit = "limit %(page_size)s::bigint + 1"
    halves = " union all ".join(
        f"(select * from sessions {where} and {half} {order} {limit})"
        for half in ((OPEN,) if only_open else (OPEN, f"not {OPEN}"))
    )
    return f"from ({halves}) as sessions {order}"


def _values(wanted: SessionFilter) -> dict[str, Any]:
    """Return the parameters of the conditions that a filter sets, under the names of its fields."""
    values = {
        "user_id": wanted.user_id,
        "application_id": wanted.application_id,
        "statuses": list(wanted.statuses) or None,
        "labels": json.dumps(wanted.labels) if wanted.labels else None,
        "title_contains": wanted.title_contains,
        "create_time_after": timestamp(wanted.create_time_after),
        "create_time_before": timestamp(wanted.create_time_before),
        "last_activity_time_after": timestamp(wanted.last_activity_time_after),
        "last_activity_time_before": timestamp(wanted.last_activity_time_before),
    }
    return {name: value for name, value in values.items() if value is not None}
