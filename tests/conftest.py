"""Shared fixtures: a real Postgres, a database for each test, the real server and a real channel."""

from __future__ import annotations

import io
import logging
import os
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from sessionhistory_server import embedded
from sessionhistory_server.embedded import server
from sessionhistory_server.observability import logs
from support import citus, pgbouncer
from support.citus import CitusDatabases
from support.databases import TEST_DATABASE_VARIABLE, Clones, execute, store_settings
from support.proxy import Proxy
from support.proxy_trap import ProxyTrap
from support.service import Service, default_settings, pooler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    import grpc

    from support.databases import Databases

pytest_plugins = ["support.standstill"]

# A busy machine makes any example slow; by default that is a failure.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

# The tests connect to this machine directly, even if the environment names a proxy.
os.environ.update(no_grpc_proxy="127.0.0.1,localhost,::1")


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
    if url := citus.coordinator_url():
        postgres += f", a coordinator of Citus {citus.version(url)}"
    if citus.TEST_DISTRIBUTED_VARIABLE in os.environ:
        postgres += ", with the statements for distributed tables"
    return f"postgres: {postgres}{' through PgBouncer' if pooler() else ''}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of one machine if the statements are those for distributed tables."""
    for item in items:
        marker = item.get_closest_marker("one_machine")
        if marker and _kind_of_statements(item) != citus.ONE_MACHINE:
            item.add_marker(pytest.mark.skip(f"only on one machine: {marker.args[0]}"))


def _kind_of_statements(item: pytest.Item) -> str:
    """Return the kind of statements with which a test runs."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return str(parameters.get("kind_of_statements", citus.kinds_of_statements()[0]))


@pytest.fixture(scope="session", autouse=True)
def statements_for_distributed_tables() -> Iterator[None]:
    """Make the service take any database for a distributed one, if the environment asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        if citus.TEST_DISTRIBUTED_VARIABLE in os.environ:
            citus.take_for_distributed(patch)
        yield


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
def databases(postgres_url: str) -> Iterator[Databases]:
    """Makes databases: clones of a template, or on Citus databases that are used again."""
    with CitusDatabases(postgres_url) if citus.coordinator_url() else Clones(postgres_url) as made:
        yield made


@pytest.fixture(scope="session")
def way(postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Turns a database's URL into the URL that the service uses, which may lead through PgBouncer."""
    if not pooler():
        yield str
        return
    with pgbouncer.running(postgres_url) as bouncer:

        def lead(database_url: str) -> str:
            store_settings(database_url)
            return bouncer.url(database_url)

        yield lead


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A database without a schema for one test."""
    with databases.empty() as url:
        if pooler():
            store_settings(url)
        yield url


@pytest.fixture
def database_url(databases: Databases, way: Callable[[str], str]) -> Iterator[str]:
    """A migrated, empty database for one test."""
    with databases.migrated() as url:
        yield way(url)


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Starts services on a database, with any settings changed; the fixture stops all of them."""
    async with AsyncExitStack() as stack:

        async def start(
            database_url: str,
            *,
            serving: bool = True,
            credentials: grpc.ChannelCredentials | None = None,
            **changes: Any,
        ) -> Service:
            service = await stack.enter_async_context(
                Service.running(default_settings(**changes), database_url, credentials)
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
async def shared(databases: Databases, way: Callable[[str], str]) -> AsyncIterator[Service]:
    """One service for parametrized tests that touch only sessions with ids of their own."""
    with databases.migrated() as url, citus.ordinary(url):
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


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The output of the server's logging at debug level."""
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        logs.configure(level="debug", log_format="json")
        yield stream
    root.handlers[:], level = before
    root.setLevel(level)
