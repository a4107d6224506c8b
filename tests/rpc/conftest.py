"""Shared fixtures of the tests of RPCs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support import citus
from support.service import Service, connect, default_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.databases import Databases

CHANNELS = 8


@pytest_asyncio.fixture(scope="session")
async def guarded(databases: Databases, way: Callable[[str], str]) -> AsyncIterator[Service]:
    """A service that asks for keys, for tests that touch only sessions with ids of their own."""
    with databases.migrated() as url, citus.ordinary(url):
        async with Service.running(default_settings(auth=("keys",)), way(url)) as service:
            await service.wait_until_serving()
            yield service


@pytest_asyncio.fixture
async def stubs(service: Service) -> AsyncIterator[list[Any]]:
    """Stubs on connections of their own."""
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(connect(service.address)) for _ in range(CHANNELS)]
        stub: Any = pb_grpc.SessionHistoryServiceStub
        yield [stub(channel) for channel in channels]
