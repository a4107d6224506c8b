"""Probe the database every second, and open, repair or close the pool accordingly."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg

from sessionhistory_server.errors import ResourceExhaustedError, SessionHistoryError
from sessionhistory_server.store.postgres import citus
from sessionhistory_server.store.postgres.connect import CONNECT_TIMEOUT_SECONDS, answering, connect, hang_up
from sessionhistory_server.store.postgres.database_state import (
    DatabaseState,
    Finding,
    probe,
    probe_with_write,
)
from sessionhistory_server.store.postgres.node_watch import NodeWatch
from sessionhistory_server.store.postgres.poolers import SessionsMoveError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database

T = TypeVar("T")

PROBE_INTERVAL_SECONDS: Final = 1.0

# The steps have their own time limits. This limit ends a step whose own limit fails.
_STEP_SECONDS: Final = 15.0

_READ_ONLY_TRANSACTION: Final = "25006"

# While a node does not answer, the calls for its sessions take a connection of the pool for only so long.
_IMPATIENCE: Final = {"citus.node_connection_timeout": "500ms"}

_BACKENDS: Final = "select array_agg(pid) from pg_stat_activity"


class _Trial(enum.Enum):
    """The outcome of a statement on a connection of the pool."""

    WORKED = enum.auto()
    BUSY = enum.auto()
    """No connection was free in time."""
    FAILED = enum.auto()
    SILENT = enum.auto()
    """It got no answer in time."""


class Monitor:
    """A monitor that probes the database every second, on its own connection and on one of the pool."""

    def __init__(
        self,
        url: str,
        database: Database,
        on_change: Callable[[Finding], Awaitable[None]],
        *,
        pooled: bool = False,
    ) -> None:
        self._url = url
        self._pooled = pooled
        self._database = database
        self._on_change = on_change
        self._connection: Connection | None = None
        self._found: Finding | None = None
        self._is_distributed = False
        self._nodes = NodeWatch(url)
        self._is_pool_suspect = False
        self._is_pool_outdated = False

    async def run(self) -> None:
        """Probe until cancelled: every second, and at once when the work of a call has failed."""
        try:
            while True:
                self._read_suspicions()
                await self._apply(await self._look())
                await self._pause()
        finally:
            self._nodes.stop()
            self._disconnect()

    def _read_suspicions(self) -> None:
        self._is_pool_suspect = self._database.suspect.is_set()
        self._database.suspect.clear()
        refused = self._database.refused_writes.take_last_refusal()
        if self._is_distributed and not self._is_read_only:
            return  # one node refuses writes, which says nothing about the others
        # A session of Postgres keeps the read-only default with which it began. New sessions get the new
        # default.
        self._is_pool_outdated |= self._is_read_only or refused == _READ_ONLY_TRANSACTION
        if self._is_read_only or refused:
            self._disconnect()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PROBE_INTERVAL_SECONDS):
                await self._database.suspect.wait()
        except TimeoutError:
            return
        # Many calls fail together. One probe is enough for all of them.
        await asyncio.sleep(PROBE_INTERVAL_SECONDS / 20)

    @property
    def _is_read_only(self) -> bool:
        return self._found is not None and self._found.state is DatabaseState.READS_ONLY

    async def _look(self) -> Finding:
        """Return the state of the database on the monitor's own connection and on one of the pool.

        Both probes run concurrently, so that neither delays the other.
        """
        trial = asyncio.create_task(self._try_pool())
        try:
            found = self._with_nodes(await _within(_STEP_SECONDS, self._probe()))
        except (psycopg.Error, TimeoutError, OSError) as error:
            self._disconnect()
            return self._without_connection(error, await trial)
        else:
            if await trial is _Trial.SILENT and found.state.is_served and not self._is_pool_suspect:
                return Finding(DatabaseState.UNAVAILABLE, "it does not answer on the connections of the pool")
            self._is_pool_suspect |= trial.result() is _Trial.FAILED
            return found
        finally:
            trial.cancel()

    def _without_connection(self, error: Exception, trial: _Trial) -> Finding:
        """Return the finding while the monitor cannot connect: the previous state if the pool works."""
        found = Finding.of(error)
        if trial is not _Trial.WORKED or self._found is None or isinstance(error, SessionsMoveError):
            return found
        return Finding(self._found.state, f"new connections fail: {found.reason}")

    def _with_nodes(self, found: Finding) -> Finding:
        """Return the finding for all nodes of a distributed database, from that for the server's own node."""
        if not self._is_distributed:
            return found
        before = self._nodes.nodes.reason
        self._nodes.look(at_once=self._database.take_node_suspicion())
        self._database.node_settings = _IMPATIENCE if self._nodes.nodes.unreachable else {}
        # Connections of the pool keep sessions of their own on the nodes, from before the change. A failed
        # probe is no change.
        self._is_pool_outdated |= self._nodes.nodes.reason != before
        return self._nodes.finding if found.state is DatabaseState.READY else found

    async def _probe(self) -> Finding:
        """Probe at most twice, because the kept connection may be broken while a new one works."""
        kept = self._connection
        if kept is not None:
            try:
                with answering(kept):
                    self._is_distributed = await citus.is_distributed(kept)
                    return await probe(kept)
            except psycopg.Error:
                if self._connection is not kept:
                    raise  # this probe was abandoned, and a later one has a connection of its own
                self._disconnect()
                self._is_pool_suspect = True
        connection = await connect(self._url, pooled=self._pooled)
        self._disconnect()
        self._connection = connection
        self._is_distributed = connection.is_distributed
        await self._hang_up_on_lost(connection)
        with answering(connection):
            return await probe_with_write(connection)

    async def _hang_up_on_lost(self, connection: Connection) -> None:
        """Shut down the pool's connections whose Postgres process has ended: they may never get an answer.

        Connections to another server than the monitor's stay open.
        """
        if connection.pooled:
            return  # a pooler has its own process ids
        known = self._database.pool.known if self._database.pool else []
        with answering(connection):
            ((pids,),) = await connection.fetch(_BACKENDS, {})
        address, start_time = connection.server
        for one in known:
            is_here = one.server[0] == address
            is_gone = one.server[1] != start_time or one.backend_pid not in pids
            if is_here and is_gone and not one.closed:
                self._is_pool_suspect = True
                hang_up(one)

    async def _try_pool(self) -> _Trial:
        """Run a statement as calls do."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await _within(_STEP_SECONDS, self._database.try_pool())
        except ResourceExhaustedError:
            return _Trial.BUSY
        except (SessionHistoryError, TimeoutError):
            is_late = loop.time() - started >= CONNECT_TIMEOUT_SECONDS
            return _Trial.SILENT if is_late else _Trial.FAILED
        return _Trial.WORKED

    async def _apply(self, found: Finding) -> None:
        if found.state.is_served:
            try:
                await _within(_STEP_SECONDS, self._repair_pool(found))
            except (psycopg.Error, TimeoutError) as error:
                found = Finding.of(error)
        if found.state is DatabaseState.UNAVAILABLE:
            await self._database.lose_pool()
        elif not found.state.is_served:
            await self._database.close_pool(found.state.refusal)
        if found != self._found:
            self._found = found
            await self._on_change(found)

    async def _repair_pool(self, found: Finding) -> None:
        pool = self._database.pool
        if pool is None:
            await self._database.open_pool()
            self._is_pool_outdated = False
            return
        self._is_pool_outdated |= pool.is_mistaken(is_distributed=self._is_distributed)
        if self._nodes.nodes.unreachable:
            pool.hang_up_on_stuck()
        if found.state is DatabaseState.READY and self._is_pool_outdated and self._connection:
            self._is_pool_outdated = False
            self._database.refused_writes.forget()
            await pool.replace_all()
        elif self._is_pool_suspect:
            await pool.replace_broken()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()


async def _within(seconds: float, work: Coroutine[None, None, T]) -> T:
    """Return the result of work; abandon it if it takes longer.

    Raises:
        TimeoutError: the work took longer.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(
        lambda _: task.cancelled() or task.exception()
    )  # read the error, also of abandoned work
    try:
        if not (await asyncio.wait((task,), timeout=seconds))[0]:
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
