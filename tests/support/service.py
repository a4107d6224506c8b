"""The real service in this process, and a real channel to it."""

from __future__ import annotations

import dataclasses
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from sessionhistory_server.app import App
from sessionhistory_server.config import Address, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The service counts the memory of its process, which holds all that the tests have imported and kept.
_MEMORY_OF_ALL_TESTS_MIB = 16_384

# Every wait in the tests ends by then: a bound, not a measure.
PATIENCE_SECONDS = 30


TEST_POOLER_VARIABLE = "SESSION_HISTORY_TEST_POOLER"


def pooler() -> str | None:
    """Return the kind of pooler that this run of the tests goes through."""
    return os.environ.get(TEST_POOLER_VARIABLE) or None


def default_settings(**changes: Any) -> Settings:
    """Return settings for a test: any free port, no metrics port."""
    defaults = Settings(
        listen=Address("127.0.0.1", 0),
        metrics_listen=None,
        grace_seconds=5,
        max_memory_mib=_MEMORY_OF_ALL_TESTS_MIB,
        pooler=pooler(),
    )
    return dataclasses.replace(defaults, **changes)


class Service:
    """A running service and a channel to it; ``stub`` has its methods."""

    def __init__(self, app: App, channel: grpc.aio.Channel) -> None:
        self.app = app
        self.channel = channel
        self.stub: Any = pb_grpc.SessionHistoryServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)

    @property
    def address(self) -> str:
        """The address on which it listens."""
        return f"127.0.0.1:{self.app.port}"

    @property
    def pool_stats(self) -> dict[str, int]:
        """The statistics of the database pool, by the names of psycopg_pool."""
        return self.app._database.pool_stats  # noqa: SLF001 - else a port for metrics would be needed

    @property
    def is_distributed(self) -> bool:
        """Whether its database has distributed the sessions."""
        return self.app._database.is_distributed  # noqa: SLF001 - only tests ask

    @property
    def awaits_pieces(self) -> bool:
        """Whether a stream is open."""
        return bool(self.app._stream_rules.reads._waiting)  # noqa: SLF001 - only tests ask

    @property
    def stores_streams(self) -> bool:
        """Whether a stream's message is being stored."""
        return bool(self.app._use_cases.streams._appends)  # noqa: SLF001 - only tests ask

    @classmethod
    @asynccontextmanager
    async def running(
        cls, settings: Settings, database_url: str, credentials: grpc.ChannelCredentials | None = None
    ) -> AsyncIterator[Service]:
        """Start a service; stop it in the end. A service with TLS needs credentials of a client."""
        app = App(settings, database_url)
        await app.start()
        try:
            async with connect(f"127.0.0.1:{app.port}", credentials) as channel:
                yield cls(app, channel)
        finally:
            await app.stop()

    async def wait_until_serving(self, status: int = SERVING) -> None:
        """Wait until the health service answers with a status."""
        watch = self.health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        async for answer in watch:
            if answer.status == status:
                break
        watch.cancel()


_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Otherwise channels to one address share a connection, also with what an earlier server there refused."""


def connect(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Open a channel on a connection of its own; it takes responses of gRPC's default size."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=_OWN_CONNECTION)
    return grpc.aio.secure_channel(address, credentials, options=_OWN_CONNECTION)


def connect_thread(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """Open a channel for threads on a connection of its own."""
    if credentials is None:
        return grpc.insecure_channel(address, options=_OWN_CONNECTION)
    return grpc.secure_channel(address, credentials, options=_OWN_CONNECTION)
