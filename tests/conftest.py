"""A real Postgres, a database for each test, the real server, a real channel."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded
from sessionhistory_server.embedded import server
from support.databases import database, execute
from support.proxy import Proxy
from support.service import Service, default_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

TEST_DATABASE_VARIABLE = "SESSION_HISTORY_TEST_DATABASE_URL"


def pytest_report_header() -> str:
    """Say what the suite runs on."""
    return f"postgres: {TEST_DATABASE_VARIABLE if TEST_DATABASE_VARIABLE in os.environ else 'embedded 18'}"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres on which databases can be created: the given one, or an embedded one."""
    if url := os.environ.get(TEST_DATABASE_VARIABLE):
        yield url
        return
    data_dir: Path = tmp_path_factory.mktemp("postgres")
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            careless = (*server._SETTINGS, "fsync=off")  # noqa: SLF001 - no setting: only tests may lose data
            patch.setattr(server, "_SETTINGS", careless)
            url = stack.enter_context(embedded.running(data_dir))
        assert execute(url, "show fsync") == [("off",)]
        yield url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database to clone."""
    with database(postgres_url, "template0") as (name, url):
        migrations.upgrade(url)
        yield name


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database of the test's own without a schema."""
    with database(postgres_url, "template0") as (_, url):
        yield url


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with database(postgres_url, template) as (_, url):
        yield url


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Starts a service on a database, with any settings changed; all are stopped in the end."""
    async with AsyncExitStack() as stack:

        async def start(database_url: str, *, serving: bool = True, **changes: Any) -> Service:
            service = await stack.enter_async_context(
                Service.running(default_settings(**changes), database_url)
            )
            if serving:
                await service.wait_until_serving()
            return service

        yield start


@pytest_asyncio.fixture
async def service(serve: Callable[..., Awaitable[Service]], database_url: str) -> Service:
    """A service with default settings on an empty database."""
    return await serve(database_url)


@pytest_asyncio.fixture(scope="session")
async def shared(postgres_url: str, template: str) -> AsyncIterator[Service]:
    """One service for the long tables of tests that only touch sessions with ids of their own."""
    with database(postgres_url, template) as (_, url):
        async with Service.running(default_settings(), url) as service:
            await service.wait_until_serving()
            yield service


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A way to a database of the test's own that the test can block."""
    async with Proxy.running(database_url) as running:
        yield running
