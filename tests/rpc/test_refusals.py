"""A database that answers but cannot be used: each call says why, and how to mend it."""

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
    """Return the refusal of calls after the server has checked the database."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(service, "GetSession", "s")
            failure = failure_of(caught.value)
            if failure.message != "the database is not available":
                return failure


async def test_a_schema_at_an_older_revision(serve: Serve, empty_database_url: str) -> None:
    """Every call is SCHEMA_OUTDATED with RetryInfo and names the command, after which calls work."""
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
    """A statement that cannot run on the schema is SCHEMA_OUTDATED with RetryInfo, whatever the revision."""
    await create(service)
    execute(database_url, "alter table messages rename column message_id to old_id")
    with fails("UNAVAILABLE", "SCHEMA_OUTDATED") as failure:
        await call(service, method, "s")
    assert "run `session-history migrate`" in failure.message
    assert failure.retry_seconds == 1.0


async def test_a_standby(serve: Serve, empty_database_url: str) -> None:
    """Reads are served from a database that takes no writes."""
    migrations.upgrade(empty_database_url)
    execute(empty_database_url, *_STANDBY)
    failure = await _refusal(await serve(empty_database_url))
    assert failure.reason == "SESSION_NOT_FOUND"
