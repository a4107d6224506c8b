"""TLS and metadata, as in production."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
import trustme

from sessionhistory import errors
from support.relay import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.processes import Server
    from support.service import Service


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that signs the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """The files that a proxy needs to end TLS in front of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest_asyncio.fixture
async def address(shared: Service, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """A service behind TLS."""
    async with relay(shared.address, tls=tls) as secure:
        yield secure


@pytest.fixture
def credentials(authority: trustme.CA) -> grpc.ChannelCredentials:
    """Credentials that trust the authority."""
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


async def test_a_server_behind_tls(
    connect: Callable[..., Client],
    start_server: Callable[..., Server],
    database_url: str,
    tls: ssl.SSLContext,
    credentials: grpc.ChannelCredentials,
) -> None:
    """With the authority's certificate calls succeed; the request id is in the error and in the log."""
    server = start_server(database_url)
    server.wait_for("database: ready")
    async with relay(server.address(), tls=tls) as address:
        client = connect(address, credentials=credentials, metadata={"x-request-id": "order-7"})
        assert (await client.create_session("s")).created
        with pytest.raises(errors.SessionNotFoundError) as caught:
            await client.get_session("none")
    assert caught.value.request_id == "order-7"
    server.wait_for('"order-7"')
    (event,) = (event for event in server.events if event.get("request_id") == "order-7")
    assert (event["method"], event["code"]) == ("GetSession", "NOT_FOUND")


async def test_a_request_id_for_each_call(
    connect: Callable[..., Client], address: str, credentials: grpc.ChannelCredentials
) -> None:
    """A function can give every call a request id of its own."""
    ids = iter(["first", "second"])
    client = connect(address, credentials=credentials, metadata=lambda: {"x-request-id": next(ids)})
    for expected in ("first", "second"):
        with pytest.raises(errors.SessionNotFoundError) as caught:
            await client.get_session("none")
        assert caught.value.request_id == expected


async def test_a_server_that_nobody_vouches_for(connect: Callable[..., Client], address: str) -> None:
    """With another authority's certificate the server is unavailable."""
    others = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    client = connect(address, credentials=others)
    with pytest.raises(errors.UnavailableError, match=r"(?i)certificate|handshake"):
        await client.delete_session("s")


async def test_a_plain_client_and_tls(connect: Callable[..., Client], address: str) -> None:
    """Without credentials the server is unavailable, and no call is sent in plain text."""
    with pytest.raises(errors.UnavailableError):
        await connect(address).delete_session("s")
