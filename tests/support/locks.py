"""Locks that a test holds, and the statements that wait for them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.store.session_ref import session_key
from support import citus
from support.databases import execute

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def locked(url: str, table: str = "messages") -> Iterator[None]:
    """Lock a table against all other transactions."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier(table)))
        yield


@contextmanager
def locked_session(url: str, session_id: str = "s") -> Iterator[None]:
    """Lock a session's row against all other transactions."""
    with psycopg.connect(url) as connection:
        key = session_key(DEFAULT_TENANT, session_id)
        connection.execute("select from sessions where session_key = %s::uuid for update", [key])
        yield


def waiting(url: str, longer_than_millis: int = 0) -> int:
    """Return how many statements wait for a lock in the database, on any machine."""
    activity = "citus_stat_activity" if citus.coordinator_url() else "pg_stat_activity"
    waits = execute(
        url,
        f"select pid from {activity} where wait_event_type = 'Lock' and datname = current_database()"
        f" and clock_timestamp() - query_start > interval '{longer_than_millis} ms'",
    )
    return len(waits)
