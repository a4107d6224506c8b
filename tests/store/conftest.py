"""Fixtures for the store without a server: a pool and the use cases, on databases empty and full."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_support import fill, use_cases

from sessionhistory_server.store.postgres.database import Database
from support import citus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from store_support import UseCases

    from support.databases import Databases


@pytest.fixture(autouse=True, params=citus.kinds_of_statements())
def kind_of_statements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with the statements for one machine, and with those for distributed tables."""
    if request.param == citus.DISTRIBUTED:
        citus.take_for_distributed(monkeypatch)


@pytest_asyncio.fixture
async def open_database() -> AsyncIterator[Callable[..., Awaitable[Database]]]:
    """Opens pools on databases; the fixture closes all of them."""
    async with AsyncExitStack() as stack:

        async def start(url: str, *, pool_size: int = 1, pool_timeout_seconds: float = 30) -> Database:
            pool = Database(url, pool_size=pool_size, pool_timeout_seconds=pool_timeout_seconds)
            stack.push_async_callback(pool.close)
            await pool.open_pool()
            return pool

        yield start


@pytest_asyncio.fixture
async def history(open_database: Callable[..., Awaitable[Database]], database_url: str) -> UseCases:
    """The use cases with one connection to an empty database."""
    return use_cases(await open_database(database_url))


@pytest.fixture
def full_database_url(databases: Databases) -> Iterator[str]:
    """A database for one test with so many rows that its query plans are realistic."""
    with databases.filled(fill) as url:
        yield url


@pytest_asyncio.fixture
async def full_history(open_database: Callable[..., Awaitable[Database]], full_database_url: str) -> UseCases:
    """The use cases with one connection to a database with many rows."""
    return use_cases(await open_database(full_database_url))
