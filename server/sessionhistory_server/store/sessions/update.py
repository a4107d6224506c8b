"""Change the fields of a session that its caller sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

from sessionhistory_server.errors import AbortedError
from sessionhistory_server.limits import MAX_INT64
from sessionhistory_server.store.columns.session import (
    COLUMNS,
    CONTENT,
    EXPIRE_TIME,
    session_of,
    session_parameters,
)
from sessionhistory_server.store.columns.times import timestamp
from sessionhistory_server.store.session_ref import LIVE, NAMED
from sessionhistory_server.store.sessions.lifecycle import get

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sessionhistory_server.model.session import Session
    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.session_ref import SessionRef

_CHANGED: Final = "update_time = now(), revision = revision + 1"

_EXPIRY: Final = f"expire_time = {EXPIRE_TIME}, purge_time = {EXPIRE_TIME} + %(retention)s::interval"

# (select now()): Citus allows no now() in a case of an update.
_COMPLETION: Final = """
complete_time = case when status = %(status)s::text then complete_time
                     when %(status)s::text <> 'ACTIVE' then (select now()) end
"""

# The assignments for a change of each field.
_ASSIGNMENTS: Final = {
    **{name: f"{name} = {value}" for name, value in CONTENT.items()},
    "state": f"state = {CONTENT['state']}, state_version = state_version + 1",
    "status": f"status = {CONTENT['status']}, {_COMPLETION}",
    "expire_time": _EXPIRY,
    "ttl": _EXPIRY,
}

# coalesce: the planner finds the row by its key, not by its time.
_HAS_ETAG: Final = (
    "coalesce(create_time = %(etag_time)s::timestamptz and revision = %(etag_revision)s::bigint, false)"
)


async def change(
    connection: Connection,
    ref: SessionRef,
    changes: Mapping[str, Any],
    *,
    etag: str | None,
    retention: timedelta,
) -> Session:
    """Set fields of a live session, given under the names of ``SessionContent``.

    Raises:
        NotFoundError: there is none for this caller.
        AbortedError: the session has another etag.
    """
    condition, etag_parameters = _etag_condition(etag)
    statement = f"""
        update sessions
        set {", ".join([_CHANGED, *(_ASSIGNMENTS[name] for name in sorted(changes))])}
        where {NAMED} and {LIVE} and {condition}
        returning {COLUMNS}
    """
    fields = session_parameters({"expire_time": None, "ttl": None, **changes})
    parameters = {**fields, "retention": retention, **ref._asdict(), **etag_parameters}
    while True:
        if found := await connection.fetch(statement, parameters, named=False):
            return session_of(found[0])
        actual = (await get(connection, ref)).etag
        if etag not in (None, actual):
            raise AbortedError(
                f"session {ref.session_id!r} has changed: its etag is {actual}",
                reason="ETAG_MISMATCH",
                session_id=ref.session_id,
                actual_etag=actual,
            )


def _etag_condition(etag: str | None) -> tuple[LiteralString, dict[str, Any]]:
    """Return the condition for an etag, which consists of the creation time and the revision."""
    if etag is None:
        return "true", {}
    create_time, _, revision = etag.partition("-")
    try:
        parsed = timestamp(int(create_time, 16)), int(revision, 16)
    except (ValueError, OverflowError):
        return "false", {}
    if not 0 < parsed[1] <= MAX_INT64:
        return "false", {}
    return _HAS_ETAG, {"etag_time": parsed[0], "etag_revision": parsed[1]}
