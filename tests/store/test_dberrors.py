"""The errors that callers get for errors of Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
import pytest
from psycopg import errors as postgres
from store_support import use_cases

from sessionhistory_server.errors import (
    DeadlineExceededError,
    ResourceExhaustedError,
    SessionHistoryError,
    UnavailableError,
)
from sessionhistory_server.store.postgres import citus
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.errors import is_refused_write, is_unavailable, translate
from support.callers import caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection

SECRET = "what somebody said"

TRANSLATIONS: list[tuple[psycopg.Error, type[SessionHistoryError], str]] = [
    (psycopg_pool.PoolTimeout(SECRET), ResourceExhaustedError, "POOL_EXHAUSTED"),
    (psycopg_pool.TooManyRequests(SECRET), ResourceExhaustedError, "POOL_EXHAUSTED"),
    (postgres.QueryCanceled(SECRET), DeadlineExceededError, "DEADLINE_EXCEEDED"),
    (postgres.UndefinedTable(SECRET), UnavailableError, "SCHEMA_OUTDATED"),
    (postgres.UndefinedColumn(SECRET), UnavailableError, "SCHEMA_OUTDATED"),
    (postgres.UndefinedFunction(SECRET), UnavailableError, "SCHEMA_OUTDATED"),
]

LOST = [
    psycopg_pool.PoolClosed(SECRET),
    psycopg.OperationalError(SECRET),
    psycopg.InterfaceError(SECRET),
    psycopg.InternalError(SECRET),
    postgres.ConnectionFailure(SECRET),
    postgres.ReadOnlySqlTransaction(SECRET),
    postgres.InvalidPassword(SECRET),
    postgres.InvalidCatalogName(SECRET),
    postgres.TooManyConnections(SECRET),
    postgres.DiskFull(SECRET),
    postgres.AdminShutdown(SECRET),
    postgres.CrashShutdown(SECRET),
    postgres.CannotConnectNow(SECRET),
    postgres.IdleInTransactionSessionTimeout(SECRET),
    postgres.IoError(SECRET),
]

TRANSIENT = [
    postgres.SerializationFailure(SECRET),
    postgres.DeadlockDetected(SECRET),
    postgres.LockNotAvailable(SECRET),
]

# Citus reports a lost node by these, too.
AMBIGUOUS = [postgres.InternalError_(SECRET), postgres.IoError(SECRET)]

DEFECTS = [
    postgres.InternalError_(SECRET),
    psycopg.ProgrammingError(SECRET),
    postgres.UniqueViolation(SECRET),
    postgres.CheckViolation(SECRET),
    postgres.NotNullViolation(SECRET),
    postgres.SyntaxError(SECRET),
    postgres.NumericValueOutOfRange(SECRET),
]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        *TRANSLATIONS,
        *((error, UnavailableError, "DATABASE_UNAVAILABLE") for error in LOST),
        *((error, UnavailableError, "TRANSACTION_CONFLICT") for error in TRANSIENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_postgres_reports_has_a_reason_and_none_of_its_text(
    error: psycopg.Error, kind: type[SessionHistoryError], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each error of Postgres has a reason of ours; the driver's text is neither returned nor logged."""
    translated = translate(error)
    assert type(translated) is kind
    assert translated.reason == reason
    assert SECRET not in str(translated)
    assert SECRET not in str(translated.metadata)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("error", DEFECTS, ids=lambda error: type(error).__name__)
def test_what_only_a_defect_can_cause_is_not_translated(error: psycopg.Error) -> None:
    """An error that only a defect can cause is not reported as the database's."""
    assert translate(error) is None


def test_only_a_lost_database_is_probed() -> None:
    """Only errors that suggest a lost database start a probe; refusals and conflicts do not."""
    assert all(is_unavailable(error) for error in LOST)
    assert not any(is_unavailable(error) for error in TRANSIENT + DEFECTS)


@pytest.mark.parametrize("error", AMBIGUOUS, ids=lambda error: type(error).__name__)
def test_what_may_be_a_lost_node_is_the_loss_of_a_distributed_database(error: psycopg.Error) -> None:
    """An error that Citus reports for a lost node is UNAVAILABLE there, and no refusal of writes."""
    translated = translate(error, is_distributed=True)
    assert isinstance(translated, UnavailableError)
    assert translated.reason == "DATABASE_UNAVAILABLE"
    assert not is_refused_write(error, is_distributed=True)


def failing(sqlstate: str) -> Callable[[Connection], Awaitable[None]]:
    """Return work whose statement fails with a SQLSTATE, while its session goes on."""

    async def fail(connection: Connection) -> None:
        await connection.execute(f"do $$ begin raise exception using errcode = '{sqlstate}'; end $$".encode())

    return fail


async def end_session(connection: Connection) -> None:
    """End the session that runs this work."""
    await connection.execute("select pg_terminate_backend(pg_backend_pid(), 10000)")


async def test_a_lost_node_does_not_make_all_connections_suspect(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A statement that lost a node says nothing about the server's node, unlike a session that has ended."""
    database = await open_database(database_url)
    for run in (database.read, database.write):
        with pytest.raises(UnavailableError):
            await run(failing("08006"))
        assert database.suspect.is_set() is not database.is_distributed
        assert database.take_node_suspicion() is database.is_distributed
        database.suspect.clear()
    with pytest.raises(UnavailableError):
        await database.read(end_session)
    assert database.suspect.is_set()
    assert not database.take_node_suspicion()


async def test_a_defect_is_raised_as_it_is(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """An error without a translation reaches the caller once, and is not its own cause."""

    async def divide(connection: Connection) -> None:
        await connection.execute("select 1 / 0")

    database = await open_database(database_url)
    for run in (database.read, database.write):
        with pytest.raises(postgres.DivisionByZero) as caught:
            await run(divide)
        assert caught.value.__cause__ is None


async def test_a_defect_on_a_connection_from_before_the_distribution_is_none(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the tables were distributed since a connection was opened, its statements are not the right ones."""
    database = await open_database(database_url)
    before = database.is_distributed

    async def changed(_: Connection) -> bool:
        return not before

    async def divide(connection: Connection) -> None:
        await connection.execute("select 1 / 0")

    monkeypatch.setattr(citus, "is_distributed", changed)
    with pytest.raises(UnavailableError):
        await database.write(divide)
    assert database.suspect.is_set()


async def test_an_old_schema_is_said_to_be_old(
    open_database: Callable[..., Awaitable[Database]], empty_database_url: str
) -> None:
    """A server with a pool whose tables are missing reports an outdated schema."""
    history = use_cases(await open_database(empty_database_url))
    with pytest.raises(UnavailableError) as caught:
        await history.sessions.get(caller(), "s")
    assert caught.value.reason == "SCHEMA_OUTDATED"


async def test_what_takes_too_long_in_postgres_exceeds_the_deadline(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A statement that exceeds the database's time limit is DEADLINE_EXCEEDED, and can be retried."""

    async def hurry(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("set local statement_timeout = 1")
            await connection.execute("select pg_sleep(600)")

    database = await open_database(database_url)
    with pytest.raises(DeadlineExceededError):
        await database.write(hurry)


async def test_a_busy_pool_says_when_to_retry(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A call that gets no connection in time is refused, with the time to wait."""
    database = await open_database(database_url, pool_timeout_seconds=0.01)

    async def work(_: Connection) -> None:
        with pytest.raises(ResourceExhaustedError) as caught:
            await database.read(work)
        assert caught.value.reason == "POOL_EXHAUSTED"

    await database.read(work)


async def test_without_a_pool_nothing_waits(database_url: str) -> None:
    """While the database is away every call is refused at once."""
    history = use_cases(Database(database_url, pool_size=1, pool_timeout_seconds=600))
    with pytest.raises(UnavailableError) as caught:
        await history.sessions.get(caller(), "s")
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
