"""Changing the fields of a session that its caller sets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, case, cast, false, func, literal, null, update
from sqlalchemy.dialects.postgresql import JSONB

from sessionhistory_server.errors import AbortedError
from sessionhistory_server.limits import MAX_INT64
from sessionhistory_server.model import ACTIVE
from sessionhistory_server.store._composed import execute
from sessionhistory_server.store.schema import sessions
from sessionhistory_server.store.sessions import FIELDS, get, is_live, session_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from sessionhistory_server.model import Session
    from sessionhistory_server.store.database import Connection
    from sessionhistory_server.store.sessions import SessionRef


async def change(
    connection: Connection,
    ref: SessionRef,
    changes: Mapping[str, Any],
    *,
    etag: str | None,
    retention: timedelta,
) -> Session:
    """Set fields of a live session: those of ``SessionContent``, by name.

    Raises:
        NotFoundError: there is none for this caller.
        AbortedError: it has another etag than the given one.
    """
    statement = (
        update(sessions)
        .where(_is_named(ref), is_live())
        .values(_changed_columns(changes, retention))
        .returning(*(sessions.c[name] for name in FIELDS))
    )
    if etag is not None:
        statement = statement.where(_has_etag(etag))
    while True:
        row = await (await execute(connection, statement)).fetchone()
        if row is not None:
            return session_of(row)
        actual = (await get(connection, ref)).etag
        if etag not in (None, actual):
            raise AbortedError(
                f"session {ref.session_id!r} has changed: its etag is {actual}",
                reason="ETAG_MISMATCH",
                session_id=ref.session_id,
                actual_etag=actual,
            )


def _is_named(ref: SessionRef) -> ColumnElement[bool]:
    named = sessions.c.session_key == ref.session_key
    return named if ref.user_id is None else named & (sessions.c.user_id == ref.user_id)


def _changed_columns(changes: Mapping[str, Any], retention: timedelta) -> dict[str, Any]:
    columns: dict[str, Any] = {k: v for k, v in changes.items() if k not in ("expire_time", "ttl")}
    if "labels" in changes:
        columns["labels"] = cast(literal(json.dumps(changes["labels"]), Text), JSONB)
    columns |= {"update_time": func.now(), "revision": sessions.c.revision + 1}
    if status := changes.get("status"):
        unchanged = sessions.c.status == status
        since = null() if status == ACTIVE else func.now()
        columns["complete_time"] = case((unchanged, sessions.c.complete_time), else_=since)
    if "expire_time" in changes or "ttl" in changes:
        expire_time: Any = literal(timestamp(changes.get("expire_time")), sessions.c.expire_time.type)
        if ttl := changes.get("ttl"):
            expire_time = func.now() + literal(timedelta(microseconds=ttl))
        columns |= {"expire_time": expire_time, "purge_time": expire_time + literal(retention)}
    return columns


def _has_etag(etag: str) -> ColumnElement[bool]:
    """Compare the revision and the creation time that an etag is made of."""
    create_time, _, revision = etag.partition("-")
    try:
        parsed = timestamp(int(create_time, 16)), int(revision, 16)
    except (ValueError, OverflowError):
        return false()
    if not 0 < parsed[1] <= MAX_INT64:
        return false()
    return (sessions.c.create_time == parsed[0]) & (sessions.c.revision == parsed[1])
