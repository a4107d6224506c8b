"""A service with mutual TLS, and its clients, each with a certificate."""

from __future__ import annotations

import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc.aio
from rpc_support import call, fresh_id

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.certificates import Authority, alternative
from support.errors import failure_of
from support.keys import Holder
from support.service import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from support.certificates import Pair
    from support.service import Service


class Authorities(NamedTuple):
    """The authorities of a server's certificate, and of its clients' certificates."""

    server: Authority
    clients: Authority

    @classmethod
    def below(cls, folder: Path) -> Authorities:
        """Make both in a folder."""
        return cls(Authority(folder / "server-authority"), Authority(folder / "client-authority"))

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the settings of a server that accepts keys and certificates."""
        tls = {**self.server.issue("server").settings, "tls_client_ca": self.clients.ca}
        return {"auth": ("keys", "certificates"), **tls, **changes}

    def issue(self, *names: str | bytes, **options: Any) -> Pair:
        """Issue a client's certificate with these names; without one it has no extension for them."""
        return self.clients.issue_for(fresh_id(), alternative(*names) if names else None, **options)

    async def serve(
        self, serve: Callable[..., Awaitable[Service]], database_url: str, **changes: Any
    ) -> Service:
        """Start a server; its own channel has a certificate that is not registered."""
        credentials = self.server.credentials(self.issue("DNS:nobody.internal"))
        return await serve(database_url, credentials=credentials, **self.settings(**changes))

    @asynccontextmanager
    async def client(self, service: Service, pair: Pair, secret: str | None = None) -> AsyncIterator[Service]:
        """Yield the service as a client with a certificate calls it, and with a key if there is one."""
        held = copy.copy(service)
        stub: Any = pb_grpc.SessionHistoryServiceStub
        async with connect(service.address, self.server.credentials(pair)) as channel:
            held.channel, held.stub = channel, Holder(stub(channel), secret)
            yield held

    async def reason(self, service: Service, pair: Pair, secret: str | None = None) -> str:
        """Return the reason of the answer to a call for a missing session on a new connection."""
        async with self.client(service, pair, secret) as client:
            return await reason(client)


async def reason(client: Service) -> str:
    """Return the reason of the answer to a call for a missing session."""
    try:
        await call(client, "GetSession", fresh_id())
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return ""
