"""Opening one connection to Postgres, set up as the store's statements need it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryLoader

from sessionhistory_server.store.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

STATEMENT_TIMEOUT_SECONDS: Final = 60
LOCK_TIMEOUT_SECONDS: Final = 5
CONNECT_TIMEOUT_SECONDS: Final = 3

_MISREAD_PATH: Final = re.compile(r"postgres(ql)?://[^/?]*/[^?]*@")

# jit: a millisecond of compiling for statements that take a tenth of one.
# plan_cache_mode: the plans that run are the plans that the tests have proven.
# lock_timeout: callers of one session that somebody has locked must not keep all connections.
# enable_…: every statement has an index in its order; no statistics may talk the planner out of it, and no
#   small table into reading it whole, by a plan that is kept when it has grown.
_CONFIGURE: Final = f"""
select set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_sort', 'off', false),
       set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false),
       set_config('lock_timeout', '{LOCK_TIMEOUT_SECONDS}s', false),
       set_config('statement_timeout', '{STATEMENT_TIMEOUT_SECONDS}s', false),
       set_config('idle_in_transaction_session_timeout', '{STATEMENT_TIMEOUT_SECONDS}s', false)
"""

# A dead peer is noticed within seconds, where the URL does not say otherwise.
_CONNECTION_DEFAULTS: Final = {
    "application_name": "session-history",
    "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class _UntypedDumper(Dumper):
    """Send an int or a time without a type, as psycopg does with str and None.

    The casts in the statement decide, so that a statement is prepared once and not once for each
    size of number and each null.
    """

    oid = 0

    def dump(self, obj: int | datetime) -> bytes:
        return str(obj).encode()


async def connect(url: str) -> Connection:
    """Open one connection, configured as the pool's are.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    connection = await Connection.connect(conninfo(url), autocommit=True)
    try:
        with answering(connection):
            await configure(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


@contextmanager
def answering(connection: Connection) -> Iterator[None]:
    """Hang up on a database that has not answered within ``CONNECT_TIMEOUT_SECONDS``.

    Raises:
        psycopg.OperationalError: it was hung up on, or has hung up.
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
    """Fail whoever waits for the database's answer, as if it had hung up.

    Cancelling would ask the database first, and a close is not noticed by those who wait.
    """
    with (
        suppress(psycopg.OperationalError, OSError),  # closed already
        socket.socket(fileno=os.dup(connection.pgconn.socket)) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)


def conninfo(url: str) -> str:
    """Return the connection string for a URL, completed with the defaults it does not override.

    Raises:
        psycopg.ProgrammingError: it is no valid connection string, or was meant otherwise than it reads.
    """
    parameters = conninfo_to_dict(url)
    # An @ or / of the password that is not percent-encoded: libpq takes the rest for a host or port,
    # and whoever cannot resolve it shows it.
    if "@" in str(parameters.get("host") or "")[1:] or _MISREAD_PATH.match(url):
        raise psycopg.ProgrammingError("the host or the path has an @")
    if not re.fullmatch(r"[0-9,]*", str(parameters.get("port") or "")):
        raise psycopg.ProgrammingError("the port is no number")
    return make_conninfo(url, **{**_CONNECTION_DEFAULTS, **parameters})


async def configure(connection: Connection) -> None:
    """Set up a new connection."""
    connection.prepare_threshold = None  # after a rollback it would drop what others have prepared as well
    # The number that it is in binary: the model counts time as Postgres does.
    connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
    connection.adapters.register_dumper(int, _UntypedDumper)
    connection.adapters.register_dumper(datetime, _UntypedDumper)
    await connection.execute(_CONFIGURE, prepare=False)
