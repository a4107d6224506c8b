"""Open a connection to Postgres, with the settings that the store's statements need."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryLoader

from sessionhistory_server.store.postgres import citus, poolers
from sessionhistory_server.store.postgres.connection import Connection
from sessionhistory_server.store.postgres.poolers import SessionsMoveError

if TYPE_CHECKING:
    from collections.abc import Iterator

STATEMENT_TIMEOUT_SECONDS: Final = 60
LOCK_TIMEOUT_SECONDS: Final = 5
CONNECT_TIMEOUT_SECONDS: Final = 3

_MISREAD_PATH: Final = re.compile(r"postgres(ql)?://[^/?]*/[^?]*@")

# jit: to compile takes a millisecond, a statement a tenth of that. plan_cache_mode: the plans are those that
# the tests check. enable_…: every statement has an index with its order. Statistics or a small table must not
# lead the planner to another plan, because a connection keeps the plan when the table grows. lock_timeout:
# writes to one locked session must not occupy all connections.
SETTINGS: Final = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "lock_timeout": str(LOCK_TIMEOUT_SECONDS * 1_000),
    "statement_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1_000),
    "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_SECONDS * 1_000),
}
"""The settings of Postgres that the statements need, in the units that ``pg_settings`` shows."""

# Citus finds the machine of a session by the values of the parameters, which a generic plan does not know. It
# would wait 30 seconds for a machine that does not answer, and a call would hold its connection for as long.
_DISTRIBUTED: Final = {
    "plan_cache_mode": "auto",
    "citus.node_connection_timeout": str(CONNECT_TIMEOUT_SECONDS * 1_000),
}

# The address is read, because a URL may have several hosts, and a name several addresses.
_SERVER: Final = sql.SQL(
    "concat_ws(' ', inet_server_addr(), current_setting('port')),"
    " extract(epoch from pg_postmaster_start_time())::text"
)

_SHOW: Final = "select name, setting from pg_settings where name = any(%s)"

# Notice a dead server within seconds, unless the URL sets other values.
_CONNECTION_DEFAULTS: Final = {
    "application_name": "session-history",
    "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class _UntypedDumper(Dumper):
    """A dumper that sends an int or a time without a type, as psycopg sends a str and None.

    The casts in the statement give the type. So a statement is prepared once, not again for each size of a
    number and each null.
    """

    oid = 0

    def dump(self, obj: int | datetime) -> bytes:
        return str(obj).encode()


def settings(*, distributed: bool) -> dict[str, str]:
    """Return the ``SETTINGS`` of a database, with those that differ if its sessions are distributed.

    A session gets them from ``configure``. Behind a pooler and on the workers of Citus, it gets them from its
    role (``role_settings``).
    """
    return SETTINGS | _DISTRIBUTED if distributed else SETTINGS


async def connect(url: str, *, pooled: bool = False) -> Connection:
    """Open one connection, configured as those of the pool.

    Args:
        url: The database.
        pooled: Whether the URL leads through a pooler that may move sessions.

    Raises:
        SessionsMoveError: a pooler moves sessions, and ``pooled`` is false.
        psycopg.Error: the database cannot be reached, or ``pooled`` is true and the role lacks settings.
    """
    connection = await open_plain(url)
    try:
        if not pooled:
            await _refuse_moves(connection, url)
        with answering(connection):
            await configure(connection, pooled=pooled)
            if pooled:
                await _require_settings(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_plain(url: str) -> Connection:
    """Open one connection without the store's settings, which prepares no statement by itself.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    return await Connection.connect(conninfo(url), autocommit=True, prepare_threshold=None)


async def _refuse_moves(connection: Connection, url: str) -> None:
    """Refuse a pooler that moves sessions, before other clients get this connection's settings."""
    second = await open_plain(url)
    try:
        with answering(connection), answering(second):
            if await poolers.moves_sessions(connection, second):
                raise SessionsMoveError
    finally:
        await second.close()


async def _require_settings(connection: Connection) -> None:
    """Require that the session has the settings from its role.

    If they are missing, the transaction stays open when the connection is closed. The pooler then drops the
    session, which has begun before the role got its settings.
    """
    wanted = settings(distributed=connection.is_distributed)
    await connection.execute("begin")
    found: dict[str, str] = dict(await (await connection.execute(_SHOW, [list(wanted)])).fetchall())
    if missing := [name for name, value in wanted.items() if found.get(name) != value]:
        raise psycopg.OperationalError(
            f"the role lacks settings in this database ({', '.join(missing)}): run `session-history migrate"
            " --pooler transaction`, then have the pooler open new connections"
        )
    await connection.execute("rollback")


@contextmanager
def answering(connection: Connection) -> Iterator[None]:
    """Shut down a connection on which the database has not answered within ``CONNECT_TIMEOUT_SECONDS``.

    Raises:
        psycopg.OperationalError: the connection was shut down, or the database has closed it.
    """
    timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_SECONDS, hang_up, connection)
    try:
        yield
    except psycopg.OperationalError as error:
        if timer.when() > asyncio.get_running_loop().time():
            raise
        raise psycopg.OperationalError(f"no answer within {CONNECT_TIMEOUT_SECONDS} seconds") from error
    finally:
        timer.cancel()


def hang_up(connection: Connection) -> None:
    """Shut down a connection: a task that waits on it fails as if the database had closed it.

    A cancellation would need the database. A close of the socket would not wake the waiting task.
    """
    with (
        suppress(psycopg.OperationalError, OSError),  # closed already
        socket.socket(fileno=os.dup(connection.pgconn.socket)) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)


def conninfo(url: str) -> str:
    """Return the connection string for a URL, completed with the defaults it does not override.

    Raises:
        psycopg.ProgrammingError: the URL is not valid, or libpq would read another host from it.
    """
    parameters = conninfo_to_dict(url)
    # The password has an @ or / that is not percent-encoded. libpq would read the rest of it as a host or a
    # port, and quote it in an error.
    if "@" in str(parameters.get("host") or "")[1:] or _MISREAD_PATH.match(url):
        raise psycopg.ProgrammingError("the host or the path has an @")
    if not re.fullmatch(r"[0-9,]*", str(parameters.get("port") or "")):
        raise psycopg.ProgrammingError("the port is no number")
    return make_conninfo(url, **{**_CONNECTION_DEFAULTS, **parameters})


async def configure(connection: Connection, *, pooled: bool = False) -> None:
    """Set up a new connection.

    Args:
        connection: The connection, without settings of its own.
        pooled: Whether a pooler may move sessions. Then nothing is set, because other clients would get the
            settings.
    """
    connection.pooled = pooled
    connection.prepare_threshold = None  # psycopg would drop all prepared statements after a rollback
    # Postgres sends a time as a number, which is also the model's number.
    connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
    connection.adapters.register_dumper(int, _UntypedDumper)
    connection.adapters.register_dumper(datetime, _UntypedDumper)
    connection.is_distributed = await citus.is_distributed(connection)
    if not pooled:
        wanted = settings(distributed=connection.is_distributed)
        calls = [sql.SQL("set_config({}, {}, false)").format(*item) for item in wanted.items()]
        query = sql.SQL("select pg_backend_pid(), {}, {}").format(_SERVER, sql.SQL(", ").join(calls))
        row = await (await connection.execute(query)).fetchone()
        assert row is not None  # noqa: S101 - a select without a table returns one row
        connection.backend_pid, *server = row[:3]
        connection.server = server[0], server[1]
