"""Long sessions and many sessions, made in the database from one that the service made.

Every column that is not a matter of position is copied from that one, so that what is made here stays what
the service itself would have stored; ``check`` compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.measuring import InvalidError
from sessionhistory_server.history import TENANT
from sessionhistory_server.store.keys import session_key
from sessionhistory_server.store.schema import messages, sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

# By position, from those of the session's first message: all its messages weigh the same.
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
    """Give a session of one unpinned message that message again, until it has ``length`` messages."""
    key = {"key": session_key(TENANT, session_id), "length": length}
    counters = ", ".join(f"{name} = {value}" for name, value in _COUNTERS.items())
    with psycopg.connect(url) as connection:
        connection.execute(_copies(messages, _MESSAGE, first=2), key)
        connection.execute(f"update sessions set {counters} where session_key = %(key)s", key)


def multiply(url: str, session_id: str, count: int) -> None:
    """Make a session without messages again, until its user has ``count``; each older than the one before."""
    key = {"key": session_key(TENANT, session_id), "length": count - 1}
    with psycopg.connect(url) as connection:
        connection.execute(_copies(sessions, _SESSION, first=1), key)


def tidy(url: str) -> None:
    """Do now what autovacuum and the checkpointer would do in the midst of what is measured."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum (analyze) messages, sessions")
        connection.execute("checkpoint")


def check(url: str, made: str, filled: str) -> None:
    """Make sure that a session of ours is as the service makes one of the same messages.

    Raises:
        InvalidError: they differ; the message names the columns.
    """
    different = [
        *_differences(url, sessions, {*_SESSION}, made, filled),
        *_differences(url, messages, {"session_key", "message_id", "create_time"}, made, filled),
    ]
    if different:
        raise InvalidError(f"a filled session differs from one that the service made in {different}")


def _copies(table: Table, changed: Mapping[str, str], *, first: int) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(changed.get(name, name) for name in names)
    return (
        f"insert into {table.name} ({', '.join(names)}) select {values} from {table.name},"
        f" generate_series({first}, %(length)s) as position where session_key = %(key)s"
    )


def _differences(url: str, table: Table, own: set[str], made: str, filled: str) -> list[str]:
    """Return the columns that are not alike in both sessions, though they are not each one's own."""
    names = [column.name for column in table.columns if column.name not in own]
    query = f"select {', '.join(names)} from {table.name} where session_key = %s"
    if table is messages:
        query += " order by sequence"
    with psycopg.connect(url) as connection:
        rows = [connection.execute(query, [session_key(TENANT, id_)]).fetchall() for id_ in (made, filled)]
    pairs = list(zip(*rows, strict=True))
    return [name for at, name in enumerate(names) if any(one[at] != two[at] for one, two in pairs)]
