"""The pool of connections: psycopg's pool, with a limit for each wait and a list of all connections.

An idle connection is taken and kept without psycopg's lock and its tasks, which take a tenth of the service's
work for a call. Neither waits, so nothing else happens meanwhile.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sessionhistory_server.store.postgres.connect import (
    CONNECT_TIMEOUT_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    answering,
    configure,
    hang_up,
)
from sessionhistory_server.store.postgres.connection import Connection
from sessionhistory_server.store.postgres.failure_reason import keeping_failures

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_WORKERS: Final = 10

# Longer than a call waits for a lock.
_STUCK_SECONDS: Final = LOCK_TIMEOUT_SECONDS + 1.0


class Pool(AsyncConnectionPool[Connection]):
    """A pool of a fixed size, which is filled when it is opened."""

    def __init__(self, conninfo: str, *, size: int, timeout_seconds: float, pooled: bool = False) -> None:
        self._pooled = pooled
        self.is_distributed = False
        """Whether the newest connection has found that Citus has distributed the sessions."""
        self._failures: deque[psycopg.Error] = deque(maxlen=1)
        self._known: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._in_use: dict[Connection, float] = {}
        """The connections with work, and the time since when, by the clock of the event loop."""
        self._outdated: weakref.WeakSet[Connection] = weakref.WeakSet()
        super().__init__(
            conninfo,
            connection_class=keeping_failures(self._failures),
            kwargs={"autocommit": True},
            configure=self._set_up,
            min_size=size,
            max_size=size,
            max_waiting=size * 100,
            timeout=timeout_seconds,
            num_workers=min(size, _MAX_WORKERS),
            open=False,
        )
        hosts = str(conninfo_to_dict(conninfo).get("host", "")).split(",")
        self._fill_seconds = CONNECT_TIMEOUT_SECONDS * len(hosts)

    async def fill(self) -> None:
        """Open the pool and all its connections.

        Raises:
            psycopg.Error: they could not be opened in time; its text says why.
        """
        try:
            await self.open(wait=True, timeout=self._fill_seconds)
        except BaseException as error:
            await self.close()
            if self._failures and isinstance(error, PoolTimeout):
                raise self._failures.pop() from error
            raise

    async def take(self, seconds: float | None = None) -> Connection:
        """Return a free connection. Give it back after the work.

        It is the one that was kept last: its backend has its memory in the caches of the processor (ADR 69).

        Args:
            seconds: The maximum wait; by default that of calls.

        Raises:
            psycopg.Error: no connection was free in time, or the pool is closed.
        """
        if self._pool and not self.closed:
            connection = self._pool.pop()
            connection._pool = self  # noqa: SLF001 - as psycopg's pool does
        else:
            connection = await self.getconn(seconds)
        self._in_use[connection] = asyncio.get_running_loop().time()
        return connection

    def keep(self, connection: Connection) -> bool:
        """Make a connection the next one to take, if no call waits for it and it need not be replaced.

        Returns:
            Whether that was possible. If not, ``give_back`` does more.
        """
        is_usable = connection.pgconn.transaction_status == TransactionStatus.IDLE
        is_outdated = connection in self._outdated or connection._expire_at <= time.monotonic()  # noqa: SLF001 - of psycopg's pool
        if self._waiting or self.closed or is_outdated or not is_usable:
            return False
        self._in_use.pop(connection, None)
        connection._pool = None  # noqa: SLF001 - as psycopg's pool does
        self._pool.append(connection)
        return True

    async def give_back(self, connection: Connection) -> None:
        """Return a connection to the pool; replace it if it is outdated or not idle."""
        self._in_use.pop(connection, None)
        if connection in self._outdated or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            connection.drop()
        await self.putconn(connection)

    async def replace_broken(self) -> None:
        """Replace the idle connections that are broken, or do not answer in time."""
        timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT_SECONDS, self._hang_up_on_idle)
        try:
            await self.check()
        finally:
            timer.cancel()

    async def replace_all(self) -> None:
        """Replace the idle connections now, and the other connections after their work."""
        self._outdated.update(self._known)
        for connection in self._idle:
            connection.drop()
        await self.check()

    @property
    def known(self) -> list[Connection]:
        """All connections, idle and in use."""
        return list(self._known)

    @property
    def is_gone(self) -> bool:
        """Whether the database has closed all connections."""
        return all(one.closed if one in self._in_use else one.is_lost for one in self.known)

    def is_mistaken(self, *, is_distributed: bool) -> bool:
        """Whether connections take the sessions for distributed, or not, and that is no longer true."""
        current = (one for one in self.known if not one.closed and one not in self._outdated)
        return any(one.is_distributed != is_distributed for one in current)

    def hang_up_on_stuck(self) -> None:
        """Shut down the connections whose work takes so long that it may wait for a node that is silent.

        Citus cannot end a wait for such a node.
        """
        latest = asyncio.get_running_loop().time() - _STUCK_SECONDS
        _hang_up_on([one for one, since in self._in_use.items() if since < latest])

    def hang_up_on_all_in_use(self) -> None:
        """Shut down the connections in use, so that the work on them fails."""
        _hang_up_on(self._in_use)

    def _hang_up_on_idle(self) -> None:
        _hang_up_on(self._idle)

    @property
    def _idle(self) -> list[Connection]:
        return [one for one in self.known if one not in self._in_use]

    async def _set_up(self, connection: Connection) -> None:
        with answering(connection):
            await configure(connection, pooled=self._pooled)
        self.is_distributed = connection.is_distributed
        self._known.add(connection)

    @staticmethod
    async def check_connection(conn: Connection) -> None:
        """Raise an error if a connection is broken. psycopg's ``check`` calls this."""
        try:
            await conn.fetch("select true", {})
        except psycopg.Error:
            conn.drop()
            raise


def _hang_up_on(connections: Iterable[Connection]) -> None:
    for connection in connections:
        hang_up(connection)
