"""Lists of sessions: filtered, newest first, by keyset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from sessionhistory_server.model import ACTIVE
from sessionhistory_server.store import pages
from sessionhistory_server.store.sessions import COLUMNS, LIVE, OPEN, session_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.model import Session
    from sessionhistory_server.store.connection import Connection

# What a session takes in a response beside its texts: numbers, times, and the frames around them.
_OVERHEAD_BYTES: Final = 512
# A map entry's frame on the wire is larger than its quotes and commas in JSON by at most this.
_LABELS_OVERHEAD_BYTES: Final = 512

# A bound of a session's size in a response; it reads no out-of-line text.
_SIZE_BYTES: Final = " + ".join(
    (
        f"{_OVERHEAD_BYTES + _LABELS_OVERHEAD_BYTES} + octet_length(labels::text)",
        *(
            f"coalesce(octet_length({name}), 0)"
            for name in ("session_id", "user_id", "title", "model", "metadata", "state", "token_counter")
        ),
    )
)

# What each field of a filter asks of a session, and the end of the page before.
_CONDITIONS: Final = {
    "user_id": "user_id = %(user_id)s::text",
    "statuses": "status = any(%(statuses)s::text[])",
    "labels": "labels @> %(labels)s::jsonb",
    "title_contains": "strpos(lower(title), lower(%(title_contains)s::text)) > 0",
    "create_time_after": "create_time > %(create_time_after)s::timestamptz",
    "create_time_before": "create_time < %(create_time_before)s::timestamptz",
    "active_after": "active_time > %(active_after)s::timestamptz",
    "active_before": "active_time < %(active_before)s::timestamptz",
}


class SessionFilter(NamedTuple):
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
    time = "create_time" if wanted.by_creation else "active_time"
    values = _values(wanted)
    conditions = ["tenant_id = %(tenant_id)s::text", *(_CONDITIONS[name] for name in values)]
    if not wanted.show_deleted:
        conditions.append(LIVE)
    if after is not None:
        conditions.append(f"({time}, session_key) < (%(time)s::timestamptz, %(session_key)s::uuid)")
        values |= {"time": timestamp(after.time), "session_key": after.session_key}
    rows, more = await pages.fetch(
        connection,
        f"{COLUMNS}, {time} as position, session_key",
        _SIZE_BYTES,
        _ordered(wanted, f"where {' and '.join(conditions)}", f"order by {time} desc, session_key desc"),
        {"tenant_id": tenant_id, **values},
        page_size=page_size,
        max_bytes=max_bytes,
    )
    last = SessionPosition(rows[-1][-2], str(rows[-1][-1])) if more else None
    return [session_of(row[:-2]) for row in rows], last


def _ordered(wanted: SessionFilter, where: LiteralString, order: LiteralString) -> LiteralString:
    """Return the sessions that conditions hold for, in an order that an index has.

    The index of a user's by activity has those that are open before the others: a page of each is read, and
    the two are merged.
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
    """Return the parameters of the conditions that a filter sets, by their names."""
    values = {
        "user_id": wanted.user_id,
        "statuses": list(wanted.statuses) or None,
        "labels": json.dumps(wanted.labels) if wanted.labels else None,
        "title_contains": wanted.title_contains,
        "create_time_after": timestamp(wanted.create_time_after),
        "create_time_before": timestamp(wanted.create_time_before),
        "active_after": timestamp(wanted.active_after),
        "active_before": timestamp(wanted.active_before),
    }
    return {name: value for name, value in values.items() if value is not None}
