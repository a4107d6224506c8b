"""Shared fixtures: a real Postgres, a database for each test, the real server and a real channel."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

import sessionhistory_migrations as migrations
from sessionhistory_server import embedded
from sessionhistory_server.embedded import server
from support import pgbouncer
from support.databases import database, execute
from support.proxy import Proxy
from support.proxy_trap import ProxyTrap
from support.service import Service, default_settings, pooler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

# The tests connect to this machine directly, even if the environment names a proxy.
os.environ.update(no_grpc_proxy="127.0.0.1,localhost,::1")

TEST_DATABASE_VARIABLE = "SESSION_HISTORY_TEST_DATABASE_URL"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the option of `make faults`."""
    parser.addoption(
        "--long-faults",
        action="store_true",
        help="run the tests of tests/faults in their long form, and record the figures in docs/faults.json",
    )
    parser.addoption(
        "--faults-share",
        type=float,
        default=1.0,
        help="the share of the long form's rounds to run, such as 0.05 to try that it works",
    )


def pytest_report_header() -> str:
    """Report which Postgres the tests run on."""
    postgres = TEST_DATABASE_VARIABLE if TEST_DATABASE_VARIABLE in os.environ else "embedded 18"
    return f"postgres: {postgres}{' through PgBouncer' if pooler() else ''}"


@pytest.fixture(scope="session")
def long_faults(request: pytest.FixtureRequest) -> bool:
    """Whether the fault tests run in their long form."""
    return bool(request.config.getoption("--long-faults"))


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest, long_faults: bool) -> Callable[[int, int], int]:  # noqa: FBT001 - a fixture
    """Chooses between the short form's and the long form's number, of which a share may be asked for."""
    share: float = request.config.getoption("--faults-share")

    def choose(few: int, many: int) -> int:
        return max(round(many * share), 1) if long_faults else few

    return choose


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres on which databases can be created: the one that is named, or an embedded one."""
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


@pytest.fixture(scope="session")
def way(postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Turns a database's URL into the URL that the service uses, which may lead through PgBouncer."""
    if not pooler():
        yield str
        return
    with pgbouncer.running(postgres_url) as bouncer:

        def lead(database_url: str) -> str:
            pgbouncer.store_settings(database_url)
            return bouncer.url(database_url)

        yield lead


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database without a schema for one test."""
    with database(postgres_url, "template0") as (_, url):
        if pooler():
            pgbouncer.store_settings(url)
        yield url


@pytest.fixture
def database_url(postgres_url: str, template: str, way: Callable[[str], str]) -> Iterator[str]:
    """A migrated, empty database for one test."""
    with database(postgres_url, template) as (_, url):
        yield way(url)


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Starts services on a database, with any settings changed; the fixture stops all of them."""
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
async def shared(postgres_url: str, template: str, way: Callable[[str], str]) -> AsyncIterator[Service]:
    """One service for parametrized tests that touch only sessions with ids of their own."""
    with database(postgres_url, template) as (_, url):
        async with Service.running(default_settings(), way(url)) as service:
            await service.wait_until_serving()
            yield service


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the test's database that the test can block."""
    async with Proxy.running(database_url) as running:
        yield running


@pytest.fixture
def proxy_trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyTrap]:
    """An HTTP proxy that every proxy variable of the environment names."""
    with ProxyTrap() as trap:
        for name, value in trap.variables.items():
            monkeypatch.setenv(name, value)
        yield trap
