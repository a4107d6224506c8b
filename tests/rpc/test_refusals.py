"""A database that answers and cannot be served from: each call says why not, and what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from rpc_support import METHODS, call, create

import sessionhistory_migrations as migrations
from support.databases import execute
from support.errors import Failure, fails, failure_of
from support.service import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_STANDBY = (
    "create schema standby",
    "create function standby.pg_is_in_recovery() returns boolean language sql as 'select true'",
    """do $$ begin execute format('alter database %I set search_path = standby, public, pg_catalog',
        current_catalog); end $$""",
)


async def _refusal(service: Service) -> Failure:
    """Return what calls are told once the database has been looked at."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(service, "GetSession", "s")
            failure = failure_of(caught.value)
            if failure.message != "the database is not available":
                return failure


async def test_a_schema_at_an_older_revision(serve: Serve, empty_database_url: str) -> None:
    """Every call is SCHEMA_OUTDATED and names the command, with RetryInfo; after it, calls work."""
    migrations.upgrade(empty_database_url, "0001")
    service = await serve(empty_database_url, serving=False)
    await _refusal(service)
    for method in METHODS:
        with fails("UNAVAILABLE", "SCHEMA_OUTDATED") as failure:
            await call(service, method, "s", "u")
        assert "run `session-history migrate`" in failure.message
        assert failure.retry_seconds == 1.0
    migrations.upgrade(empty_database_url)
    await service.wait_until_serving()
    await create(service)


@pytest.mark.parametrize(
    "method", ["AppendMessage", "AppendMessages", "GetMessage", "GetHistory", "ListMessages"]
)
async def test_a_schema_that_lacks_something(service: Service, database_url: str, method: str) -> None:
    """Whatever its revision, a schema in which a statement cannot run is SCHEMA_OUTDATED, with RetryInfo."""
    await create(service)
    execute(database_url, "alter table messages rename column message_id to old_id")
    with fails("UNAVAILABLE", "SCHEMA_OUTDATED") as failure:
        await call(service, method, "s")
    assert "run `session-history migrate`" in failure.message
    assert failure.retry_seconds == 1.0


async def test_a_standby(serve: Serve, database_url: str) -> None:
    """A database that takes no writes is DATABASE_UNAVAILABLE, and calls say what it is."""
    execute(database_url, *_STANDBY)
    failure = await _refusal(await serve(database_url, serving=False))
    assert failure.reason == "DATABASE_UNAVAILABLE"
    assert failure.message == "the database is a standby that takes no writes"
