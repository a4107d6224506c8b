"""When a database is ready to be served from, and what is said when it is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest

import sessionhistory_migrations as migrations
from sessionhistory_server import inspection
from sessionhistory_server.store import readiness
from sessionhistory_server.store.connecting import answering, connect
from sessionhistory_server.store.readiness import MINIMUM_REVISION, Finding, Journal, Monitor, State, probe
from support.databases import execute
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database
    from support.proxy import Proxy


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect for the length of the block."""
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def state_of(url: str) -> State:
    """Return what a probe finds."""
    async with connected(url) as connection:
        return await probe(connection)


async def test_a_migrated_database_is_ready(database_url: str) -> None:
    """The newest schema can be served from."""
    assert await state_of(database_url) is State.READY


async def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    """Where nothing was ever migrated the probe says so, without an error."""
    assert await state_of(empty_database_url) is State.SCHEMA_MISSING


async def test_a_database_without_a_revision_has_no_schema(database_url: str) -> None:
    """A table of revisions that is empty is no schema."""
    execute(database_url, "delete from alembic_version")
    assert await state_of(database_url) is State.SCHEMA_MISSING


async def test_the_schema_is_ready_from_the_minimum_revision_on(empty_database_url: str) -> None:
    """Halfway through the migrations nothing is served; from the minimum on everything is."""
    migrations.upgrade(empty_database_url, "0001")
    assert await state_of(empty_database_url) is State.SCHEMA_OUTDATED
    migrations.upgrade(empty_database_url, MINIMUM_REVISION)
    assert await state_of(empty_database_url) is State.READY


async def test_a_newer_schema_is_ready(database_url: str) -> None:
    """A revision that only a later release knows is served from: migrations only expand."""
    execute(database_url, "update alembic_version set version_num = '9999'")
    assert await state_of(database_url) is State.READY


async def test_a_standby_is_read_only(database_url: str) -> None:
    """A database in recovery takes no writes, and is not served from."""
    async with connected(database_url) as connection:
        await connection.execute("create schema standby")
        await connection.execute(
            "create function standby.pg_is_in_recovery() returns boolean language sql as 'select true'"
        )
        await connection.execute("set search_path = standby, public, pg_catalog")
        assert await probe(connection) is State.READ_ONLY


async def test_a_database_that_goes_away_raises(database_url: str) -> None:
    """A probe on a broken connection finds nothing, and says so."""
    async with connected(database_url) as connection:
        execute(database_url, _END_OTHERS)
        with pytest.raises(psycopg.OperationalError):
            await probe(connection)


async def test_every_change_is_told_once(
    open_database: Callable[..., Awaitable[Database]], empty_database_url: str
) -> None:
    """The monitor tells each change of state, and has a pool open while the database is ready."""
    database = await open_database(empty_database_url)
    states: list[State] = []

    async def told(found: Finding) -> None:
        states.append(found.state)

    monitor = asyncio.create_task(Monitor(empty_database_url, database, told).run())
    await until(lambda: states == [State.SCHEMA_MISSING])
    assert not database.pool_stats
    migrations.upgrade(empty_database_url)
    database.suspect.set()
    await until(lambda: states == [State.SCHEMA_MISSING, State.READY])
    assert database.pool_stats["pool_size"] == 1
    execute(empty_database_url, _END_OTHERS, "update alembic_version set version_num = '0001'")
    database.suspect.set()
    await until(lambda: states[2:] == [State.SCHEMA_OUTDATED])
    monitor.cancel()
    with suppress(asyncio.CancelledError):
        await monitor


async def test_a_reason_is_told_when_it_changes(
    open_database: Callable[..., Awaitable[Database]], proxy: Proxy
) -> None:
    """However often the database is probed, each reason why it cannot be used is told once."""
    database = await open_database(proxy.url)
    told: list[Finding] = []

    async def tell(found: Finding) -> None:
        told.append(found)

    await proxy.refuse()
    monitor = asyncio.create_task(Monitor(proxy.url, database, tell).run())
    await _probed(database, proxy, times=3)
    assert [found.state for found in told] == [State.UNAVAILABLE]
    await proxy.vanish()
    database.suspect.set()
    await until(lambda: told[1:])
    assert [found.state for found in told] == [State.UNAVAILABLE, State.UNAVAILABLE]
    assert "Connection refused" not in told[0].reason
    assert "Connection refused" in told[1].reason
    monitor.cancel()
    with suppress(asyncio.CancelledError):
        await monitor


async def test_a_database_that_says_nothing_is_told_as_such(proxy: Proxy) -> None:
    """It is we who hang up on it, and the reason does not claim otherwise."""
    async with connected(proxy.url) as connection:
        proxy.stall()
        with (
            pytest.raises(psycopg.OperationalError, match="no answer within 3 seconds"),
            answering(connection),
        ):
            await probe(connection)
        proxy.heal()


def test_the_journal_says_how_long_it_was_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first finding that was not ready, whatever came in between."""
    caplog.set_level("INFO", logger="sessionhistory_server.store.readiness")
    clock = iter([100.0, 112.34, 200.0, 201.0])
    monkeypatch.setattr(readiness, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    ready, outdated = Finding(State.READY), Finding(State.SCHEMA_OUTDATED)
    journal = Journal()
    for found in (ready, Finding(State.UNAVAILABLE, "gone"), outdated, ready, outdated, ready):
        journal.write(found)
    assert [record.getMessage() for record in caplog.records] == [
        "database: ready",
        "database: cannot be used: gone (see `session-history check`)",
        f"database: {State.SCHEMA_OUTDATED.value}",
        "database: ready, after 12.3 seconds without it",
        f"database: {State.SCHEMA_OUTDATED.value}",
        "database: ready, after 1.0 seconds without it",
    ]


async def _probed(database: Database, proxy: Proxy, *, times: int) -> None:
    """Let the monitor probe, which tries to connect."""
    for _ in range(times):
        before = proxy.attempts
        database.suspect.set()
        await until(lambda before=before: proxy.attempts > before)


@pytest.mark.parametrize("ready", [True, False])
def test_a_report_says_what_the_database_is(
    database_url: str, empty_database_url: str, *, ready: bool
) -> None:
    """`check` names the versions of Postgres and of the schema, and what to do if there is none."""
    report = inspection.inspect(database_url if ready else empty_database_url)
    with psycopg.connect(database_url) as connection:
        version = connection.info.server_version
    assert report == inspection.Report(
        ready=ready,
        state=(State.READY if ready else State.SCHEMA_MISSING).value,
        postgres=f"{version // 10_000}.{version % 10_000}",
        schema=migrations.head() if ready else "none",
        newest_schema=migrations.head(),
    )


_END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""
