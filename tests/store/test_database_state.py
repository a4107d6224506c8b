"""When a database can be served from, and the finding when it cannot."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner

import sessionhistory_migrations as migrations
from sessionhistory_cli.server.check import check
from sessionhistory_server.store.postgres import database_state
from sessionhistory_server.store.postgres.connect import answering, connect
from sessionhistory_server.store.postgres.database_state import (
    MINIMUM_REVISION,
    DatabaseState,
    Finding,
    Journal,
    probe,
)
from sessionhistory_server.store.postgres.monitor import Monitor
from support.databases import execute
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database
    from support.proxy import Proxy


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Connect until the end of the block."""
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def state_of(url: str) -> DatabaseState:
    """Return the state that a probe finds."""
    async with connected(url) as connection:
        return (await probe(connection)).state


async def test_a_migrated_database_is_ready(database_url: str) -> None:
    """The newest schema is ready."""
    assert await state_of(database_url) is DatabaseState.READY


async def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    """The probe of a database that was never migrated reports that, without an error."""
    assert await state_of(empty_database_url) is DatabaseState.SCHEMA_MISSING


async def test_a_database_without_a_revision_has_no_schema(database_url: str) -> None:
    """An empty table of revisions counts as no schema."""
    execute(database_url, "delete from alembic_version")
    assert await state_of(database_url) is DatabaseState.SCHEMA_MISSING


async def test_the_schema_is_ready_from_the_minimum_revision_on(empty_database_url: str) -> None:
    """A schema below the minimum revision is outdated; from the minimum on it is ready."""
    migrations.upgrade(empty_database_url, "0001")
    assert await state_of(empty_database_url) is DatabaseState.SCHEMA_OUTDATED
    migrations.upgrade(empty_database_url, MINIMUM_REVISION)
    assert await state_of(empty_database_url) is DatabaseState.READY


async def test_a_newer_schema_is_ready(database_url: str) -> None:
    """A revision of a later release is ready, because migrations only expand."""
    execute(database_url, "update alembic_version set version_num = '9999'")
    assert await state_of(database_url) is DatabaseState.READY


async def test_a_standby_is_read_only(database_url: str) -> None:
    """A database in recovery is reported as read-only."""
    async with connected(database_url) as connection:
        await connection.execute("create schema standby")
        await connection.execute(
            "create function standby.pg_is_in_recovery() returns boolean language sql as 'select true'"
        )
        await connection.execute("set search_path = standby, public, pg_catalog")
        found = await probe(connection)
    assert found.state is DatabaseState.READS_ONLY
    assert "standby" in found.reason


async def test_a_database_that_goes_away_raises(database_url: str) -> None:
    """A probe on a broken connection raises an error."""
    async with connected(database_url) as connection:
        execute(database_url, _END_OTHERS)
        with pytest.raises(psycopg.OperationalError):
            await probe(connection)


async def test_every_change_is_told_once(
    open_database: Callable[..., Awaitable[Database]], empty_database_url: str
) -> None:
    """The monitor reports each change of state, and has a pool while the database is ready."""
    database = await open_database(empty_database_url)
    states: list[DatabaseState] = []

    async def told(found: Finding) -> None:
        states.append(found.state)

    monitor = asyncio.create_task(Monitor(empty_database_url, database, told).run())
    await until(lambda: states == [DatabaseState.SCHEMA_MISSING])
    assert not database.pool_stats
    migrations.upgrade(empty_database_url)
    database.suspect.set()
    await until(lambda: states == [DatabaseState.SCHEMA_MISSING, DatabaseState.READY])
    assert database.pool_stats["pool_size"] == 1
    execute(empty_database_url, _END_OTHERS, "update alembic_version set version_num = '0001'")
    database.suspect.set()
    await until(lambda: states[2:] == [DatabaseState.SCHEMA_OUTDATED])
    monitor.cancel()
    with suppress(asyncio.CancelledError):
        await monitor


async def test_a_reason_is_told_when_it_changes(
    open_database: Callable[..., Awaitable[Database]], proxy: Proxy
) -> None:
    """Each reason why the database cannot be used is reported once, however often it is probed."""
    database = await open_database(proxy.url)
    told: list[Finding] = []

    async def tell(found: Finding) -> None:
        told.append(found)

    await proxy.refuse()
    monitor = asyncio.create_task(Monitor(proxy.url, database, tell).run())
    await _probed(database, proxy, times=3)
    assert [found.state for found in told] == [DatabaseState.UNAVAILABLE]
    await proxy.vanish()
    database.suspect.set()
    await until(lambda: told[1:])
    assert [found.state for found in told] == [DatabaseState.UNAVAILABLE, DatabaseState.UNAVAILABLE]
    assert "Connection refused" not in told[0].reason
    assert "Connection refused" in told[1].reason
    monitor.cancel()
    with suppress(asyncio.CancelledError):
        await monitor


async def test_a_database_that_says_nothing_is_told_as_such(proxy: Proxy) -> None:
    """A probe without an answer raises an error that names the time limit.

    The server closes the connection, so the error does not say that Postgres has closed it.
    """
    async with connected(proxy.url) as connection:
        proxy.stall()
        with (
            pytest.raises(psycopg.OperationalError, match="no answer within 3 seconds"),
            answering(connection),
        ):
            await probe(connection)
        proxy.heal()


async def test_a_connection_that_is_lost_says_nothing_of_the_database(proxy: Proxy) -> None:
    """A probe of a lost connection fails, although libpq reports version 0 of Postgres for it."""
    connection = await connect(proxy.url)
    await proxy.cut()
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("select true")
    with pytest.raises(psycopg.OperationalError), answering(connection):
        await probe(connection)


def test_the_journal_says_how_long_it_was_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time without a database counts from the first finding that was not ready."""
    caplog.set_level("INFO", logger="sessionhistory_server.store.postgres.database_state")
    clock = iter([100.0, 112.34, 200.0, 201.0])
    monkeypatch.setattr(database_state, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    ready, outdated = Finding(DatabaseState.READY), Finding(DatabaseState.SCHEMA_OUTDATED)
    journal = Journal()
    for found in (ready, Finding(DatabaseState.UNAVAILABLE, "gone"), outdated, ready, outdated, ready):
        journal.write(found)
    assert [record.getMessage() for record in caplog.records] == [
        "database: ready",
        "database: cannot be used: gone (see `session-history check`)",
        f"database: {DatabaseState.SCHEMA_OUTDATED.value}",
        "database: ready, after 12.3 seconds without it",
        f"database: {DatabaseState.SCHEMA_OUTDATED.value}",
        "database: ready, after 1.0 seconds without it",
    ]


async def _probed(database: Database, proxy: Proxy, *, times: int) -> None:
    """Let the monitor probe, which makes it connect."""
    for _ in range(times):
        before = proxy.attempts
        database.suspect.set()
        await until(lambda before=before: proxy.attempts > before)


@pytest.mark.one_machine("on Citus a report has the nodes, too, which tests/citus reads")
@pytest.mark.parametrize("ready", [True, False])
def test_a_report_says_what_the_database_is(
    database_url: str, empty_database_url: str, *, ready: bool
) -> None:
    """`check` reports the versions of Postgres and of the schema, and the command if there is none."""
    url = database_url if ready else empty_database_url
    checked = CliRunner().invoke(check, ["--database-url", url, "--json"])
    with psycopg.connect(database_url) as connection:
        version = connection.info.server_version
    assert json.loads(checked.output) == {
        "ready": ready,
        "state": (DatabaseState.READY if ready else DatabaseState.SCHEMA_MISSING).value,
        "postgres": f"{version // 10_000}.{version % 10_000}",
        "schema": migrations.head() if ready else "none",
        "newest_schema": migrations.head(),
    }


_END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""
