"""The pool is repaired after the loss of connections, a backend, or all of Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
import uvloop
from psycopg.conninfo import make_conninfo
from watched import POOL_SIZE, Watched, watching

import sessionhistory_migrations as migrations
from sessionhistory_server.errors import UnavailableError
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding
from support.databases import execute
from support.proxy import Proxy
from support.tcp_postgres import TcpPostgres, tcp_postgres
from support.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.store.postgres.connection import Connection

_BACKENDS = """
select pid from pg_stat_activity
where application_name = 'session-history' and datname = current_database()
order by backend_start
"""


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


@pytest.mark.one_machine("without Citus there are no nodes to probe")
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
