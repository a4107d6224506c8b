"""TLS and metadata, as in production."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sessionhistory import errors, tls_credentials
from support.certificates import Authority
from support.relay import relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

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


@pytest_asyncio.fixture
async def mutual(serve: Callable[..., Awaitable[Service]], database_url: str, issuer: Authority) -> str:
    """The address of a server that ends TLS itself, and requires a certificate of its clients."""
    credentials = issuer.credentials(issuer.issue("probe", "probe.example"))
    settings = issuer.issue("server").settings | {"tls_client_ca": issuer.ca}
    return (await serve(database_url, credentials=credentials, **settings)).address


@pytest.fixture
def issuer(tmp_path: Path) -> Authority:
    """The authority of the server and of its clients, in files."""
    return Authority(tmp_path / "authority")


async def test_files_of_mutual_tls(connect: Callable[..., Client], mutual: str, issuer: Authority) -> None:
    """``tls_credentials`` reads the files. Without a certificate of the client, the server is unavailable."""
    pair = issuer.issue("client", "client.example")
    client = connect(mutual, credentials=tls_credentials(issuer.ca, str(pair.cert), str(pair.key)))
    assert (await client.create_session("s")).created
    with pytest.raises(errors.UnavailableError):
        await connect(mutual, credentials=tls_credentials(issuer.ca)).delete_session("s")
    with pytest.raises(errors.UnavailableError):
        await connect(mutual, credentials=tls_credentials()).delete_session("s")


def test_files_that_cannot_be_used(issuer: Authority, tmp_path: Path) -> None:
    """A ``ValueError`` names the file and the remedy, and quotes no contents."""
    pair, nowhere, secret = issuer.issue("client"), tmp_path / "nowhere", tmp_path / "secret"
    key = load_pem_private_key(pair.key.read_bytes(), password=None)
    lock = BestAvailableEncryption(b"secret")
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    for files, said in {
        (nowhere, None, None): f"{nowhere} cannot be read: No such file or directory",
        (pair.key, None, None): f"{pair.key} has no valid certificates: name a file in PEM",
        (None, pair.cert, None): "a certificate needs its key: name both files, or neither",
        (None, None, pair.key): "a certificate needs its key: name both files, or neither",
        (None, issuer.ca, pair.key): f"{issuer.ca} and {pair.key} are no certificate and its key",
        (None, pair.cert, secret): f"{secret} is encrypted: name a key without a password",
    }.items():
        with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
            tls_credentials(*files)


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
