"""The pool is repaired after the loss of connections, a backend, or all of Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
import uvloop
from psycopg.conninfo import make_conninfo
from store_support import use_cases

import sessionhistory_migrations as migrations
from sessionhistory_server.errors import UnavailableError
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding
from sessionhistory_server.store.postgres.monitor import Monitor
from support.callers import caller
from support.databases import execute
from support.proxy import Proxy
from support.tcp_postgres import TcpPostgres, tcp_postgres
from support.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sessionhistory_server.store.postgres.connection import Connection

POOL_SIZE = 4

_BACKENDS = """
select pid from pg_stat_activity
where application_name = 'session-history' and datname = current_database()
order by backend_start
"""


class Watched:
    """A database that a monitor watches, and the monitor's findings."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=POOL_SIZE, pool_timeout_seconds=5)
        self.told: list[Finding] = []
        self.monitor = Monitor(url, self.database, self._tell)
        self.history = use_cases(self.database)

    async def _tell(self, found: Finding) -> None:
        self.told.append(found)

    @property
    def states(self) -> list[DatabaseState]:
        """The states that were found, in order."""
        return [found.state for found in self.told]

    @property
    def is_ready(self) -> bool:
        """Whether the last finding is that the database is ready."""
        return self.states[-1:] == [DatabaseState.READY]

    async def works(self) -> bool:
        """Return whether calls work on all connections at once."""
        calls = [
            self.history.sessions.create(caller(), f"s{n}", SessionContent(), allow_existing=True)
            for n in range(16)
        ]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*calls)
        except UnavailableError:
            return False
        return True

    async def until_it_works(self) -> None:
        """Call as clients that retry do, until calls work on all connections."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.works():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watched]:
    """Watch a database until the block ends."""
    watched = Watched(url)
    running = asyncio.create_task(watched.monitor.run())
    try:
        await until(lambda: watched.is_ready)
        yield watched
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await watched.database.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Each kind of event loop, because they treat a closed socket differently."""
    with asyncio.Runner(loop_factory=request.param) as running:
        yield running


@pytest.fixture
def postgres() -> Iterator[TcpPostgres]:
    """A migrated Postgres on TCP for one test."""
    with tcp_postgres() as running:
        migrations.upgrade(running.url)
        yield running


async def _pids(url: str) -> list[int]:
    return [int(str(pid)) for (pid,) in await asyncio.to_thread(execute, url, _BACKENDS)]


def test_a_crash_of_one_process_replaces_all_connections(
    runner: asyncio.Runner, postgres: TcpPostgres
) -> None:
    """When a backend is killed, Postgres ends all others and recovers: no call gets a dead connection."""
    runner.run(_crash(postgres))


async def _crash(postgres: TcpPostgres) -> None:
    async with watching(postgres.url) as watched:
        before = await _pids(postgres.url)
        os.kill(before[-1], signal.SIGKILL)
        await until(lambda: "database system is ready to accept" in postgres.log.split("reinitializing")[-1])
        await until(lambda: watched.database.pool and watched.is_ready)
        await watched.until_it_works()
        assert not set(before) & set(await _pids(postgres.url))


def test_work_on_a_server_that_is_gone_fails_though_another_is_there(
    runner: asyncio.Runner, postgres: TcpPostgres
) -> None:
    """Work on a backend that is gone fails, even if the monitor never saw the database away."""
    runner.run(_restart(postgres))


async def _restart(postgres: TcpPostgres) -> None:
    async with watching(postgres.url) as watched:

        async def wait(connection: Connection) -> None:
            await connection.fetch("select true from pg_sleep(600)", {})

        waiting = asyncio.create_task(watched.database.write(wait))
        pool = watched.database.pool
        assert pool
        await until(lambda: watched.database.pool_stats["pool_available"] < POOL_SIZE)
        postgres.stop(signal.SIGQUIT)
        postgres.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(UnavailableError):
                await waiting
        await watched.until_it_works()


async def test_the_pool_is_checked_when_the_monitor_had_to_reconnect(proxy: Proxy) -> None:
    """Connections that were cut while idle are replaced before a call uses them."""
    async with watching(proxy.url) as watched:
        lost = watched.database.pool.known if watched.database.pool else []
        await proxy.cut()
        await until(lambda: all(one.closed for one in lost))
        await until(lambda: watched.database.pool_stats.get("pool_available") == POOL_SIZE)
        assert await watched.works()
        assert set(watched.states) <= {DatabaseState.READY, DatabaseState.UNAVAILABLE}


async def test_a_standby_takes_over_without_a_restart(postgres: TcpPostgres) -> None:
    """With both hosts in the URL, calls reach the standby soon after its promotion."""
    standby = postgres.copy()
    standby.start()
    url = make_conninfo(
        postgres.url,
        host="127.0.0.1,127.0.0.1",
        port=f"{postgres.port},{standby.port}",
        target_session_attrs="read-write",
    )
    try:
        async with watching(url) as watched:
            assert await watched.works()
            await until(lambda: execute(standby.url, "select count(*) from sessions") == [(16,)])
            postgres.stop(signal.SIGQUIT)
            await until(lambda: not watched.is_ready)
            await asyncio.to_thread(standby.promote)
            await until(lambda: watched.is_ready, patience_seconds=10)
            assert await watched.works()
    finally:
        standby.stop(signal.SIGQUIT)


async def test_connections_to_another_server_are_kept(postgres: TcpPostgres) -> None:
    """With several hosts in the URL, a monitor that reaches another one does not assume a restart."""
    with tcp_postgres() as other:
        migrations.upgrade(other.url)
        async with Proxy.running(postgres.url) as proxy:
            url = make_conninfo(proxy.url, host="127.0.0.1,127.0.0.1", port=f"{proxy.port},{other.port}")
            async with watching(url) as watched:
                before = watched.database.pool.known if watched.database.pool else []
                proxy.refuse_more()
                await asyncio.to_thread(_end_first, postgres.url)
                await until(lambda: _count(other.url) == 1)
                assert await watched.works()
                assert not any(one.closed for one in before)
                assert watched.states == [DatabaseState.READY]


def _end_first(url: str) -> None:
    """End the server's first connection, which is the monitor's."""
    execute(url, f"select pg_terminate_backend(pid) from ({_BACKENDS} limit 1) as first")


def _count(url: str) -> int:
    return len(execute(url, _BACKENDS))


@pytest.mark.one_machine("the nodes cannot be probed without a new connection")
async def test_a_pool_that_works_is_kept_while_no_new_connection_is_possible(
    proxy: Proxy,
) -> None:
    """The monitor reports its own trouble once, and calls go on, however busy the pool is."""
    async with watching(proxy.url) as watched:
        pool = watched.database.pool
        proxy.refuse_more()
        await asyncio.to_thread(_end_first, proxy.upstream_url)
        await until(lambda: watched.told[-1].reason)
        attempts = proxy.attempts
        enough = asyncio.Event()
        working = [asyncio.create_task(_keep_busy(watched, enough)) for _ in range(POOL_SIZE)]
        await until(lambda: proxy.attempts > attempts + 2)
        enough.set()
        await asyncio.gather(*working)
        assert await watched.works()
        assert watched.database.pool is pool
        assert [found.state for found in watched.told] == [DatabaseState.READY] * 2
        assert "new connections fail" in watched.told[-1].reason
        proxy.heal()
        await until(lambda: watched.told[-1] == Finding(DatabaseState.READY))
        assert watched.database.pool is pool


async def _keep_busy(watched: Watched, enough: asyncio.Event) -> None:
    """Hold a connection almost all the time. Cancelling a statement would take a new connection."""

    async def wait(connection: Connection) -> None:
        await connection.fetch("select true from pg_sleep(0.5)", {})

    while not enough.is_set():
        await watched.database.read(wait)


async def test_a_pool_that_is_silent_is_lost_while_no_new_connection_is_possible(proxy: Proxy) -> None:
    """A pool on whose connections all work hangs does not count as a working pool."""
    async with watching(proxy.url) as watched:

        async def wait(connection: Connection) -> None:
            await connection.fetch("select true from pg_sleep(600)", {})

        waiting = [asyncio.create_task(watched.database.write(wait)) for _ in range(POOL_SIZE)]
        await until(lambda: watched.database.pool_stats["pool_available"] == 0)
        proxy.refuse_more()
        proxy.stall()
        await until(lambda: watched.states[-1] is DatabaseState.UNAVAILABLE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            failed = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in failed} == {UnavailableError}
        proxy.heal()
        await watched.until_it_works()


async def test_a_pool_that_does_not_answer_is_found_and_rebuilt(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool's connections are replaced if they get no answer while the monitor's own connection works."""
    async with watching(database_url) as watched:
        deaf = watched.database.pool
        assert deaf

        async def nothing(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(watched.database, "try_pool", nothing)
        monkeypatch.setattr("sessionhistory_server.store.postgres.monitor._STEP_SECONDS", 3.5)
        await until(lambda: watched.states[-1] is DatabaseState.UNAVAILABLE)
        assert "the connections of the pool" in watched.told[-1].reason
        monkeypatch.undo()
        await until(lambda: watched.is_ready)
        assert watched.database.pool is not deaf
        assert await watched.works()


@pytest.mark.one_machine("without Citus there are no nodes to probe")
async def test_a_monitor_whose_database_hangs_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that hangs is abandoned after a time, even if it does not react to its cancellation."""
    released = asyncio.Event()

    async def hang(*_: object) -> Finding:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()
        raise psycopg.OperationalError

    async with watching(database_url) as watched:
        with monkeypatch.context() as patch:
            patch.setattr("sessionhistory_server.store.postgres.monitor.probe", hang)
            patch.setattr("sessionhistory_server.store.postgres.monitor._STEP_SECONDS", 0.1)
            await until(lambda: watched.told[-1].reason)
        released.set()
        await until(lambda: watched.told[-1] == Finding(DatabaseState.READY))
