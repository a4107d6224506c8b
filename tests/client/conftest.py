"""Clients of both kinds, and a server whose answers the test prepares."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from client_twins import TWINS
from fake_server import FakeServer

from support.processes import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sessionhistory import AsyncSessionHistoryClient
    from support.service import Service

    Connect = Callable[..., AsyncSessionHistoryClient]


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> str:
    """The name of a client; each test runs with both clients."""
    return str(request.param)


@pytest_asyncio.fixture
async def connect_twin() -> AsyncIterator[Callable[..., AsyncSessionHistoryClient]]:
    """Makes clients of a kind, for a target; the fixture closes all of them."""
    async with AsyncExitStack() as stack:

        def make(kind: str, target: str, **options: Any) -> AsyncSessionHistoryClient:
            client: AsyncSessionHistoryClient = TWINS[kind](target, **options)
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def connect(connect_twin: Connect, twin: str) -> Connect:
    """Makes clients for a target; each test runs with both kinds."""
    return partial(connect_twin, twin)


@pytest.fixture
def connect_asyncio(connect_twin: Connect) -> Connect:
    """Makes clients for asyncio, for a target."""
    return partial(connect_twin, "asyncio")


@pytest.fixture
def client(connect: Connect, shared: Service) -> AsyncSessionHistoryClient:
    """A client of the shared service."""
    return connect(shared.address)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Starts servers on a database, each in a process of its own; the fixture ends all of them."""
    with ExitStack() as stack:

        def start(database_url: str, *arguments: str) -> Server:
            server = Server(*arguments, SESSION_HISTORY_DATABASE_URL=database_url)
            stack.callback(server.clean)
            return server

        yield start


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeServer]:
    """A server whose answers the test prepares."""
    server = FakeServer()
    running = await server.start()
    yield server
    await running.stop(None)
