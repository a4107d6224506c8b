"""Fill the database: create long sessions and many sessions from a session of the service.

Columns that depend on a row's position are computed; all others are copied. So the filled rows are those that
the service would have stored, which ``check`` verifies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.errors import InvalidError
from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.store.schema import messages, sessions
from sessionhistory_server.store.session_ref import session_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

# Columns of a message that depend on its position. All messages of the session have the same size.
_MESSAGE: Final = {
    "sequence": "position",
    "message_id": "lpad(position::text, length(message_id), '0')",
    "tokens_through": "tokens_through * position",
    "bytes_through": "bytes_through * position",
}

_COUNTERS: Final = {
    "last_sequence": "%(length)s",
    **{
        name: f"{name} * %(length)s"
        for name in ("message_count", "total_tokens", "unpinned_tokens", "unpinned_bytes")
    },
}

_SESSION: Final = {
    "session_id": "session_id || '-' || position",
    "session_key": "substr(encode(sha256(convert_to(tenant_id, 'UTF8') || '\\x00'::bytea ||"
    " convert_to(session_id || '-' || position, 'UTF8')), 'hex'), 1, 32)::uuid",
    **{
        name: f"{name} - position * interval '1 second'"
        for name in ("create_time", "update_time", "active_time")
    },
}


def lengthen(url: str, session_id: str, length: int) -> None:
    """Repeat the only, unpinned message of a session until the session has ``length`` messages."""
    key = {"key": session_key(DEFAULT_TENANT, session_id), "length": length}
    counters = ", ".join(f"{name} = {value}" for name, value in _COUNTERS.items())
    with psycopg.connect(url) as connection:
        connection.execute(_copies(messages, _MESSAGE, first=2), key)
        connection.execute(f"update sessions set {counters} where session_key = %(key)s", key)


def multiply(url: str, session_id: str, count: int) -> None:
    """Copy a session without messages until its user has ``count`` sessions, each older than the previous."""
    key = {"key": session_key(DEFAULT_TENANT, session_id), "length": count - 1}
    with psycopg.connect(url) as connection:
        connection.execute(_copies(sessions, _SESSION, first=1), key)


def vacuum(url: str) -> None:
    """Vacuum and checkpoint now, so that neither happens during a measurement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze) messages, sessions")
        connection.execute("checkpoint")


def check(url: str, made: str, filled: str) -> None:
    """Check that a filled session equals a session of the service with the same messages.

    Raises:
        InvalidError: the sessions differ; the message names the columns.
    """
    different = [
        *_differences(url, sessions, {*_SESSION}, made, filled),
        *_differences(url, messages, {"session_key", "message_id", "create_time"}, made, filled),
    ]
    if different:
        raise InvalidError(f"a filled session differs from a session of the service in {different}")


def _copies(table: Table, changed: Mapping[str, str], *, first: int) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(changed.get(name, name) for name in names)
    return (
        f"insert into {table.name} ({', '.join(names)}) select {values} from {table.name},"
        f" generate_series({first}, %(length)s) as position where session_key = %(key)s"
    )


def _differences(url: str, table: Table, own: set[str], made: str, filled: str) -> list[str]:
    """Return the columns that differ between two sessions; columns in ``own`` may differ."""
    names = [column.name for column in table.columns if column.name not in own]
    query = f"select {', '.join(names)} from {table.name} where session_key = %s"
    if table is messages:
        query += " order by sequence"
    with psycopg.connect(url) as connection:
        rows = [
            connection.execute(query, [session_key(DEFAULT_TENANT, id_)]).fetchall() for id_ in (made, filled)
        ]
    pairs = list(zip(*rows, strict=True))
    return [name for at, name in enumerate(names) if any(one[at] != two[at] for one, two in pairs)]
