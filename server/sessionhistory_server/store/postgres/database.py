"""Run work on pooled connections. A read can be cancelled; a write runs to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, TypeVar, cast

import psycopg

from sessionhistory_server import call_context
from sessionhistory_server.errors import (
    DeadlineExceededError,
    SessionHistoryError,
    UnavailableError,
    database_read_only,
    database_unavailable,
    read_too_long,
)
from sessionhistory_server.store.postgres import citus, errors
from sessionhistory_server.store.postgres.admission import PoolShare, SessionGates
from sessionhistory_server.store.postgres.connect import (
    CONNECT_TIMEOUT_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
    answering,
    conninfo,
)
from sessionhistory_server.store.postgres.connection import Connection
from sessionhistory_server.store.postgres.pool import Pool
from sessionhistory_server.store.postgres.refused_writes import RefusedWrites

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

LONG_READ_SECONDS: Final = 10
"""The time limit of a statement of a long read."""

_LONG_WORK: Final = 8
"""One of this many connections is for long reads, and one for long writes."""

# The wait ends after the deadline, so that the call fails with DEADLINE_EXCEEDED and not because of the lock.
_SLACK_MILLIS: Final = 50


class Database:
    """An executor of work on pooled connections. While the database cannot be used, it refuses work at once.

    It starts without a pool. ``monitor.Monitor`` opens the pool when the database answers, and closes it when
    the database is lost. Calls that wait for a connection then fail.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        pool_timeout_seconds: float,
        pooled: bool = False,
        on_refused_write: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._conninfo = conninfo(url)
        self._pool_size = pool_size
        self._pool_timeout_seconds = pool_timeout_seconds
        self._pooled = pooled
        self.pool: Pool | None = None
        """The pool, while it is open."""
        self._refusal: Callable[[], UnavailableError] = database_unavailable
        self._under_way: set[asyncio.Task[Any]] = set()
        self._long_reads, self._long_writes = (
            PoolShare(max(1, pool_size // _LONG_WORK), pool_timeout_seconds) for _ in range(2)
        )
        self.gates = SessionGates(width=1 if pool_size < 4 else 2)
        self.refused_writes = RefusedWrites(on_refused_write)
        self.suspect = asyncio.Event()
        """Set when work has failed as if the database were lost."""
        self.node_settings: dict[str, str] = {}
        """Settings for all work, while a node of a distributed database does not answer."""
        self._is_node_suspect = False
        self._worked = asyncio.Event()
        """Set when work has succeeded."""

    @property
    def pool_stats(self) -> dict[str, int]:
        """The pool's own counters, under psycopg_pool's names; empty while there is no pool."""
        return self.pool.get_stats() if self.pool else {}

    @property
    def is_distributed(self) -> bool:
        """Whether Citus has distributed the sessions; false while there is no pool."""
        return self.pool is not None and self.pool.is_distributed

    async def open_pool(self) -> None:
        """Open the pool and fill it, if it is not open.

        Raises:
            psycopg.Error: the connections could not be opened in time; its text has the reason.
        """
        if self.pool is None:
            pool = Pool(
                self._conninfo,
                size=self._pool_size,
                timeout_seconds=self._pool_timeout_seconds,
                pooled=self._pooled,
            )
            await pool.fill()
            self.pool = pool

    async def close_pool(self, refusal: Callable[[], UnavailableError] = database_unavailable) -> None:
        """Refuse new work, fail the work that waits for a connection, and let running work finish."""
        self._refusal = refusal
        pool, self.pool = self.pool, None
        if pool is not None:
            await pool.close(CONNECT_TIMEOUT_SECONDS)

    async def lose_pool(self) -> None:
        """Refuse new work, and fail running work, because the database does not answer."""
        if self.pool is not None:
            self.pool.hang_up_on_all_in_use()
        await self.close_pool()

    async def close(self) -> None:
        """Wait for running work, for at most the time limit of a statement, then close the pool."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=STATEMENT_TIMEOUT_SECONDS)
        await self.lose_pool()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=CONNECT_TIMEOUT_SECONDS)

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing. A cancellation of the caller cancels the statement in Postgres, too.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        return await _cancelling(self._start(await self._checkout(), work))

    async def read_long(self, work: Work[T], *, advice: str) -> T:
        """Run a read that may pass over many rows, in the share for long reads and for a limited time.

        Args:
            work: As for ``read``.
            advice: The advice in the error for a read that takes too long: how to narrow it.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        settings = {"statement_timeout": f"{LONG_READ_SECONDS}s"}
        with ExitStack() as held:
            await self._long_reads.take()
            held.callback(self._long_reads.give_back)
            task = self._start(await self._checkout(settings), work, held)
        try:
            return await _cancelling(task)
        except DeadlineExceededError as error:
            raise read_too_long(LONG_READ_SECONDS, advice) from error

    async def write(self, work: Work[T], *, lock: Hashable | None = None, long: bool = False) -> T:
        """Run work that changes data. Once begun, it runs to its end even if the caller is cancelled.

        Args:
            work: Runs on a connection.
            lock: The session or the user that the work locks, if any, such as a ``SessionRef``.
                The work first waits at the gate of that session or user.
            long: Whether the work may change many rows. Then it runs in the share for long writes.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        with ExitStack() as held:
            if lock is not None:
                held.callback(self.gates.leave, lock, await self.gates.enter(lock))
            if long:
                await self._long_writes.take()
                held.callback(self._long_writes.give_back)
            task = self._start(await self._checkout(), work, held, writes=True)
        if lock is not None:
            task.add_done_callback(partial(self._note_outcome, lock))
        return await asyncio.shield(task)

    async def run(self, work: Work[T], *, writes: bool = False) -> T:
        """Run work in the caller's own task. To cancel the statement, cancel that task, at most once.

        Args:
            work: Runs on a connection.
            writes: Whether it changes data.

        Raises:
            SessionHistoryError: the work's own, or the database's translated.
        """
        task = cast("asyncio.Task[T]", asyncio.current_task())
        self._under_way.add(task)
        try:
            return await self._run(await self._checkout(), work, writes=writes)
        finally:
            self._under_way.discard(task)

    def take_node_suspicion(self) -> bool:
        """Return whether work has failed since the last call because of a node of a distributed database."""
        suspicion, self._is_node_suspect = self._is_node_suspect, False
        return suspicion

    async def try_pool(self) -> None:
        """Run a statement as calls do, or return when other work succeeds during the wait for a connection.

        Raises:
            ResourceExhaustedError: no connection was free within ``CONNECT_TIMEOUT_SECONDS``.
            SessionHistoryError: the statement failed, or the pool has no connection that is open.
        """
        if self.pool is None or self.pool.is_gone:
            raise self._refusal()
        self._worked.clear()
        trial = asyncio.create_task(self._try())
        trial.add_done_callback(lambda _: self._worked.set())
        try:
            await self._worked.wait()
            if trial.done():
                trial.result()
        finally:
            trial.cancel()

    async def _try(self) -> None:
        checkout = await self._checkout(seconds=CONNECT_TIMEOUT_SECONDS)
        await _cancelling(self._start(checkout, _select))

    def _start(
        self,
        checkout: tuple[Pool, Connection],
        work: Work[T],
        held: ExitStack | None = None,
        *,
        writes: bool = False,
    ) -> asyncio.Task[T]:
        """Run work in its own task, which outlives the caller's; then release the resources in ``held``."""
        task = self._followed(asyncio.create_task(self._run(checkout, work, writes=writes)))
        if held is not None:
            release = held.pop_all().close
            task.add_done_callback(lambda _: release())
        return task

    def _followed(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # read, so that asyncio does not report the error of a cancelled call

    def _note_outcome(self, lock: Hashable, task: asyncio.Task[Any]) -> None:
        """Note whether a write has got its lock."""
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.gates.mark_unlocked(lock)
        elif isinstance(error, SessionHistoryError) and error.reason == "TRANSACTION_CONFLICT":
            self.gates.mark_locked((lock,))

    async def _checkout(
        self, settings: dict[str, str] | None = None, *, seconds: float | None = None
    ) -> tuple[Pool, Connection]:
        pool = self.pool
        if pool is None:
            raise self._refusal()
        try:
            while (connection := await pool.take(seconds)).is_lost:
                self.suspect.set()
                await pool.give_back(connection)
        except psycopg.Error as error:
            raise (self._translated(error) or database_unavailable()) from error
        connection.local_settings = (settings or _lock_timeout()) | self.node_settings
        return pool, connection

    async def _run(self, checkout: tuple[Pool, Connection], work: Work[T], *, writes: bool = False) -> T:
        pool, connection = checkout
        try:
            result = await work(connection)
        except psycopg.Error as error:
            if translated := self._translated(error, connection, writes=writes):
                raise translated from error
            if await citus.has_changed(connection):
                self.suspect.set()
                raise database_unavailable() from error
            raise
        else:
            self._worked.set()
            return result
        finally:
            connection.local_settings = {}
            if not pool.keep(connection):
                # In a separate task, because a cancellation must not keep the connection from the pool. No
                # caller waits for the task.
                self._followed(asyncio.create_task(pool.give_back(connection)))

    def _translated(
        self, error: psycopg.Error, connection: Connection | None = None, *, writes: bool = False
    ) -> SessionHistoryError | None:
        is_distributed = connection is not None and connection.is_distributed
        if writes and errors.is_refused_write(error, is_distributed=is_distributed):
            self.refused_writes.note(str(error.sqlstate))
            return database_read_only()
        if is_distributed and errors.is_of_node(error):
            self._is_node_suspect |= errors.is_unavailable(error, is_distributed=True)
        elif errors.is_unavailable(error):
            self.suspect.set()
        return errors.translate(error, is_distributed=is_distributed)


def _lock_timeout() -> dict[str, str]:
    """Return the setting that ends a statement's wait for a lock at the caller's deadline."""
    seconds = call_context.current().seconds_left
    if seconds >= LOCK_TIMEOUT_SECONDS:
        return {}
    return {"lock_timeout": f"{int(max(seconds, 0) * 1_000) + _SLACK_MILLIS}ms"}


async def _cancelling(task: asyncio.Task[T]) -> T:
    """Return the result of a task. When the caller is cancelled, cancel the task, too."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Only once, because a second cancellation would interrupt the cancellation of the statement. Not
        # before the task has begun, or the connection would never return to the pool.
        asyncio.get_running_loop().call_soon(task.cancel)
        raise


async def _select(connection: Connection) -> None:
    with answering(connection):
        await connection.fetch("select true", {})
