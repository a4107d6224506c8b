"""Attacks on TLS: downgrades, plaintext, and certificates that no authority of the server has signed."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
import trustme
from cryptography.x509.oid import ExtendedKeyUsageOID
from tls_support import connect

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.certificates import Authority, Pair, alternative
from support.errors import fails
from support.http2 import PREFACE
from support.keys import register
from support.service import Service
from support.service import connect as connect_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Serve = Callable[..., Awaitable[Service]]

_NAME = "URI:spiffe://corp/orders"
_NO_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An HTTP/2 frame: settings, none."""
_SETTINGS_KIND = 4
_WEAK = [
    "AES128-SHA",
    "AES128-GCM-SHA256",
    "AES256-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "ADH-AES128-GCM-SHA256",
    "AECDH-AES128-SHA",
    "PSK-AES128-GCM-SHA256",
    "ECDHE-RSA-NULL-SHA",
    "NULL-SHA256",
]


class Authorities:
    """The authority of the server, that of its clients, and a stranger's."""

    def __init__(self, folder: Path) -> None:
        self.server = Authority(folder / "server-authority")
        self.clients = Authority(folder / "client-authority")
        self.strangers = Authority(folder / "strangers")
        self.good = self.clients.issue_for("orders", alternative(_NAME))

    def rsa_pair(self, folder: Path) -> Pair:
        """Return a pair of the server with a key for RSA, which the older ways to exchange keys need."""
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
        pair = Pair(folder / "rsa.pem", folder / "rsa.key")
        issued.private_key_pem.write_to_path(str(pair.key))
        issued.cert_chain_pems[0].write_to_path(str(pair.cert))
        return pair


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    """The authorities of this module."""
    return Authorities(tmp_path_factory.mktemp("attacks"))


@pytest_asyncio.fixture
async def service(serve: Serve, database_url: str, authorities: Authorities) -> Service:
    """A service with mutual TLS, for which the name of a certificate is registered."""
    tls = authorities.server.issue("server").settings | {"tls_client_ca": authorities.clients.ca}
    credentials = authorities.server.credentials(authorities.good)
    service = await serve(database_url, credentials=credentials, auth=("certificates",), **tls)
    await register(service, _NAME)
    return service


def _context(
    authority: Authority | None, pair: Pair | None, version: ssl.TLSVersion, ciphers: str = ""
) -> ssl.SSLContext:
    """Return a client's context with one version of TLS; it trusts the authority, or any without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    if authority is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(authority.ca)
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def _answer(address: str, context: ssl.SSLContext | None) -> bytes:
    """Return the first frame of the server's answer to a client of HTTP/2; empty: it sends none."""
    try:
        with connect(address) as plain:
            stream = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
            with stream:
                stream.sendall(PREFACE + _NO_SETTINGS)
                return stream.recv(len(_NO_SETTINGS))
    except (ssl.SSLError, ConnectionError):
        return b""


async def _is_served(address: str, context: ssl.SSLContext | None) -> bool:
    answer = await asyncio.to_thread(_answer, address, context)
    return len(answer) == len(_NO_SETTINGS) and answer[3] == _SETTINGS_KIND


# For each attack: the certificate that the client shows.
_FORGED: dict[str, Callable[[Authorities], Pair | None]] = {
    "no certificate": lambda _: None,
    "of another authority": lambda all_: all_.strangers.issue_for("orders", alternative(_NAME)),
    "of the server's authority": lambda all_: all_.server.issue_for("orders", alternative(_NAME)),
    "self-signed": lambda all_: all_.strangers.itself(),
    "of another authority, which claims to be the right one": lambda all_: all_.strangers.issue_for(
        "orders", alternative(_NAME), claimed=all_.clients
    ),
    "signed by another client": lambda all_: all_.clients.issue_for(
        "forged", alternative(_NAME), signer=all_.clients.issue_for("mallory", alternative("DNS:mallory"))
    ),
    "expired": lambda all_: all_.clients.issue_for("expired", alternative(_NAME), days=-1),
    "not yet valid": lambda all_: all_.clients.issue_for("early", alternative(_NAME), begins_in_days=1),
    "for servers only": lambda all_: all_.clients.issue_for(
        "server-only", alternative(_NAME), usage=ExtendedKeyUsageOID.SERVER_AUTH
    ),
}
_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@_VERSIONS
@pytest.mark.parametrize("case", _FORGED)
async def test_a_forged_certificate_is_refused_by_the_handshake(
    service: Service, authorities: Authorities, case: str, version: ssl.TLSVersion
) -> None:
    """In both versions of TLS, although it has the registered name; the right one is accepted."""
    forged = _FORGED[case](authorities)
    assert not await _is_served(service.address, _context(authorities.server, forged, version))
    assert await _is_served(service.address, _context(authorities.server, authorities.good, version))


async def test_a_certificate_without_its_key(service: Service, authorities: Authorities) -> None:
    """A certificate is public: a client must prove that it has the key."""
    other = authorities.clients.issue_for("mallory", alternative("DNS:mallory"))
    stolen = grpc.ssl_channel_credentials(
        authorities.server.ca.read_bytes(), other.key.read_bytes(), authorities.good.cert.read_bytes()
    )
    stub: Any = pb_grpc.SessionHistoryServiceStub
    async with connect_client(service.address, stolen) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(channel).GetSession(pb.GetSessionRequest(session_id="s"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_plaintext_on_a_port_with_tls(service: Service) -> None:
    """The server answers no HTTP/2 without TLS."""
    assert not await _is_served(service.address, None)


async def test_tls_on_a_port_without_tls(serve: Serve, database_url: str, authorities: Authorities) -> None:
    """A client with TLS does not fall back to plaintext."""
    service = await serve(database_url)
    assert await _is_served(service.address, None)
    stub: Any = pb_grpc.SessionHistoryServiceStub
    async with connect_client(service.address, authorities.server.credentials()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(channel).GetSession(pb.GetSessionRequest(session_id="s"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_old_versions_and_weak_ciphers(
    serve: Serve, database_url: str, authorities: Authorities, tmp_path: Path
) -> None:
    """Only TLS 1.2 and 1.3, and in 1.2 only ciphers with forward secrecy and authenticated encryption."""
    pair = authorities.rsa_pair(tmp_path)
    trusting = grpc.ssl_channel_credentials(pair.cert.read_bytes())
    service = await serve(database_url, serving=False, credentials=trusting, **pair.settings)
    old = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    for version in old:
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            context = _context(None, None, version, "DEFAULT")
        assert not await _is_served(service.address, context), version
    for cipher in _WEAK:
        context = _context(None, None, ssl.TLSVersion.TLSv1_2, cipher)
        assert cipher in {each["name"] for each in context.get_ciphers()}
        assert not await _is_served(service.address, context), cipher
    for cipher in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"):
        context = _context(None, None, ssl.TLSVersion.TLSv1_2, cipher)
        assert await _is_served(service.address, context), cipher
    assert await _is_served(service.address, _context(None, None, ssl.TLSVersion.TLSv1_3))


async def test_a_registered_name_is_no_secret(service: Service, authorities: Authorities) -> None:
    """Metadata with the name, or with the certificate, is no certificate."""
    other = authorities.clients.issue_for("mallory", alternative("DNS:mallory"))
    stub: Any = pb_grpc.SessionHistoryServiceStub
    header = authorities.good.cert.read_text().replace("\n", "%0A")
    claims = [
        ("x-forwarded-client-cert", f"{_NAME};Cert={header}"),
        ("x-client-cert", header),
        ("x509_pem_cert", header),
        ("x509_subject_alternative_name", _NAME.removeprefix("URI:")),
    ]
    async with connect_client(service.address, authorities.server.credentials(other)) as channel:
        with fails("UNAUTHENTICATED", "CREDENTIALS_INVALID"):
            await stub(channel).GetSession(pb.GetSessionRequest(session_id="s"), metadata=claims)
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))
