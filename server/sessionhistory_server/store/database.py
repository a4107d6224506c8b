"""The way to Postgres: a pool, reads that can be cancelled, writes that run to their end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sessionhistory_server.errors import SessionHistoryError, UnavailableError, database_unavailable
from sessionhistory_server.store import dberrors
from sessionhistory_server.store.connecting import (
    CONNECT_TIMEOUT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
    configure,
    conninfo,
    hang_up,
)
from sessionhistory_server.store.connection import Connection
from sessionhistory_server.store.reasons import remembering

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class Database:
    """Runs work on pooled connections while the database is up, and refuses it at once while it is not.

    It starts without a pool. ``readiness.Monitor`` opens the pool when the database answers, and closes
    it when the database is lost, which also fails whoever waits for a connection.
    """

    def __init__(self, url: str, *, pool_size: int, pool_timeout_seconds: float) -> None:
        self._conninfo = conninfo(url)
        self._pool_size = pool_size
        self._pool_timeout_seconds = pool_timeout_seconds
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._refusal: Callable[[], UnavailableError] = database_unavailable
        self._under_way: set[asyncio.Task[Any]] = set()
        self._in_use: set[Connection] = set()
        self.suspect = asyncio.Event()
        """Set when work has failed as if the database were lost."""

    @property
    def pool_stats(self) -> dict[str, int]:
        """The pool's own counters, in the terms of psycopg_pool; empty while there is no pool."""
        return self._pool.get_stats() if self._pool else {}

    async def open_pool(self) -> None:
        """Open the pool and fill it; if it is open, replace the connections that are broken.

        Raises:
            psycopg.Error: the connections could not be opened in time; it says why.
        """
        if self._pool is not None:
            await self._pool.check()
            return
        failures: deque[psycopg.Error] = deque(maxlen=1)
        pool = AsyncConnectionPool(
            self._conninfo,
            connection_class=remembering(failures),
            kwargs={"autocommit": True},
            configure=configure,
            min_size=self._pool_size,
            max_size=self._pool_size,
            max_waiting=self._pool_size * 100,
            timeout=self._pool_timeout_seconds,
            open=False,
        )
        try:
            await pool.open(wait=True, timeout=CONNECT_TIMEOUT_SECONDS)
        except BaseException as error:
            await pool.close()
            if failures and isinstance(error, PoolTimeout):
                raise failures.pop() from error
            raise
        self._pool = pool

    async def close_pool(self, refusal: Callable[[], UnavailableError] = database_unavailable) -> None:
        """Refuse work from now on; work under way runs to its end, work that waits fails."""
        self._refusal = refusal
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def lose_pool(self) -> None:
        """Refuse work from now on, and fail the work under way: its database does not answer."""
        for connection in self._in_use:
            hang_up(connection)
        await self.close_pool()

    async def close(self) -> None:
        """Wait for the work under way, for as long as the database lets it run, then close the pool."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=STATEMENT_TIMEOUT_SECONDS)
        await self.lose_pool()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing. When the caller is cancelled, so is the query in the database.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        checkout = await self._checkout()
        task = self._start(checkout, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Once, however often we are: a second time would interrupt the cancelling of the query.
            # And not before it has begun, or nobody would return the connection.
            asyncio.get_running_loop().call_soon(task.cancel)
            raise

    async def write(self, work: Work[T]) -> T:
        """Run work that changes something: once begun it runs to its end, even if the caller is cancelled.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        return await asyncio.shield(self._start(await self._checkout(), work))

    async def run(self, work: Work[T]) -> T:
        """Run work in the caller's own task, which is cancelled to cancel the query, once at most.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        task = cast("asyncio.Task[T]", asyncio.current_task())
        self._under_way.add(task)
        try:
            return await self._run(await self._checkout(), work)
        finally:
            self._under_way.discard(task)

    def _start(
        self, checkout: tuple[AsyncConnectionPool[Connection], Connection], work: Work[T]
    ) -> asyncio.Task[T]:
        """Run work in a task of its own, which no caller's cancellation reaches."""
        return self._followed(asyncio.create_task(self._run(checkout, work)))

    def _followed(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report one whose caller has gone

    async def _checkout(self) -> tuple[AsyncConnectionPool[Connection], Connection]:
        pool = self._pool
        if pool is None:
            raise self._refusal()
        try:
            connection = await pool.getconn()
        except psycopg.Error as error:
            raise (self._translated(error) or database_unavailable()) from error
        self._in_use.add(connection)
        return pool, connection

    async def _run(self, checkout: tuple[AsyncConnectionPool[Connection], Connection], work: Work[T]) -> T:
        pool, connection = checkout
        try:
            return await work(connection)
        except psycopg.Error as error:
            if translated := self._translated(error):
                raise translated from error
            raise
        finally:
            self._in_use.discard(connection)
            # In a task of its own: cut short, the pool would never see it again. And nobody waits for it.
            self._followed(asyncio.create_task(pool.putconn(connection)))

    def _translated(self, error: psycopg.Error) -> SessionHistoryError | None:
        if dberrors.is_unavailable(error):
            self.suspect.set()
        return dberrors.translate(error)
