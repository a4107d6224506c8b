"""A credential that is revoked or expires is refused by each worker process, and its streams end there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc.aio
import pytest
import pytest_asyncio

from sessionhistory.v1 import credentials_service_pb2 as credentials_pb
from sessionhistory.v1 import credentials_service_pb2_grpc as credentials_grpc
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.certificates import Authority, alternative
from support.errors import failure_of
from support.fresh import fresh_id
from support.keys import Holder
from support.open_stream import OpenStream
from support.processes import run
from support.service import connect
from support.tokens import AUDIENCE, ISSUER, IssuerKey, publish
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.certificates import Pair
    from support.processes import Server

_WORKERS = 3
_CONNECTIONS = 2
"""For each worker."""
_NAME = "URI:spiffe://corp/orders"
_ACCEPTED = "SESSION_NOT_FOUND"
_SOON = 20
"""Seconds until a credential expires: long enough to begin all streams, which would fail otherwise."""


class Credential(NamedTuple):
    """A credential of one kind, and the id of its key or of the token."""

    pair: Pair
    secret: str | None
    key_id: str


class World:
    """A server with several workers, mutual TLS, and keys, tokens and certificates as credentials."""

    def __init__(self, server: Server, authority: Authority, issuer: IssuerKey, database_url: str) -> None:
        self.server = server
        self.authority = authority
        self._issuer = issuer
        self._here = ("--database-url", database_url)

    async def key(self, *flags: str) -> Credential:
        """Create a key; its holder's certificate is not registered."""
        secret = await self._keys("create", "--scope", "read", "--scope", "write", *flags)
        return Credential(self._unregistered(), secret, secret[4:20])

    async def token(self, seconds: int = 3_600) -> Credential:
        """Return a token that expires after some seconds."""
        token_id = fresh_id()
        text = self._issuer.token(jti=token_id, exp=int(time.time()) + seconds)
        return Credential(self._unregistered(), text, token_id)

    def _unregistered(self) -> Pair:
        return self.authority.issue_for("other", alternative("DNS:other"))

    async def certificate(self, *flags: str, days: float = 1) -> Credential:
        """Register the name of a certificate, which expires after some days."""
        words = ("create", "--scope", "read", "--scope", "write", "--certificate", _NAME, *flags)
        pair = self.authority.issue_for("orders", alternative(_NAME, "DNS:orders"), days=days)
        return Credential(pair, None, await self._keys(*words))

    async def revoke(self, credential: Credential) -> None:
        """Revoke a key as an operator does, or refuse a token by a call."""
        if credential.secret and not credential.secret.startswith("shk_"):
            await self._refuse(credential.key_id)
            return
        assert await self._keys("revoke", credential.key_id) == f"{credential.key_id} revoked"

    async def _refuse(self, token_id: str) -> None:
        admin = await self.key("--scope", "admin")
        async with connect(self.server.address(), self.authority.credentials(admin.pair)) as channel:
            stub: Any = credentials_grpc.CredentialsServiceStub
            request = credentials_pb.RefuseTokenRequest(
                token_id=token_id, expire_time={"seconds": 4_000_000_000}
            )
            await Holder(stub(channel), admin.secret).RefuseToken(request)

    async def _keys(self, *words: str) -> str:
        done = await asyncio.to_thread(run, "keys", *words, *self._here)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def connections(self, stack: AsyncExitStack, credential: Credential) -> list[Connection]:
        """Connect until each worker has enough connections; return them, as many of each worker."""
        tls = self.authority.credentials(credential.pair)
        found: list[Connection] = []
        counts: Counter[int] = Counter()
        while len(counts) < _WORKERS or min(counts.values()) < _CONNECTIONS:
            channel = await stack.enter_async_context(connect(self.server.address(), tls))
            connection = Connection(channel, credential)
            worker = await self._worker_of(connection)
            if counts[worker] < _CONNECTIONS:
                counts[worker] += 1
                found.append(connection)
        return found

    async def _worker_of(self, connection: Connection) -> int:
        request_id = f"{id(connection)}-{len(self.server.lines)}"
        await connection.reason(request_id)
        await until(lambda: request_id in self.server.log)
        events = [event for event in self.server.events if event.get("request_id") == request_id]
        (worker,) = {event["worker"] for event in events}  # a refused call has two events
        return int(worker)


class Connection:
    """A connection to one worker, and a stream on it."""

    def __init__(self, channel: grpc.aio.Channel, credential: Credential) -> None:
        stub: Any = pb_grpc.SessionHistoryServiceStub
        self._get = channel.unary_unary(
            "/sessionhistory.v1.SessionHistoryService/GetSession",
            request_serializer=pb.GetSessionRequest.SerializeToString,
        )
        holder = Holder(stub(channel), credential.secret)
        self._metadata = holder._metadata  # noqa: SLF001 - with an id of the call
        self.stream = OpenStream(holder)

    async def reason(self, request_id: str = "r") -> str:
        """Return the reason of the answer to a call for a missing session."""
        metadata = (*self._metadata, ("x-request-id", request_id))
        try:
            await self._get(pb.GetSessionRequest(session_id="missing"), metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return failure_of(error).reason
        return ""

    async def is_refused(self, reason: str) -> bool:
        """Return whether a call has this reason; while nothing has changed it is accepted."""
        found = await self.reason()
        assert found in (reason, _ACCEPTED)
        return found == reason


@pytest_asyncio.fixture
async def world(start: Callable[..., Server], database_url: str, tmp_path: Path) -> World:
    """A server whose log tells which worker has answered a call."""
    authority = Authority(tmp_path / "authority")
    flags = (*authority.issue("server").flags, "--tls-client-ca", authority.ca)
    workers = ("--workers", str(_WORKERS), "--log-level", "debug")
    issuer, file = IssuerKey("k"), tmp_path / "keys.json"
    publish(file, issuer)
    flags += ("--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE, "--jwt-jwks", str(file))
    flags += ("--jwt-leeway-seconds", "0")
    server = start("--database-url", database_url, "--auth", "keys,jwt,certificates", *workers, *flags)
    await asyncio.to_thread(server.wait_for, "database: ready")
    return World(server, authority, issuer, database_url)


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes connections after the test."""
    async with AsyncExitStack() as entered:
        yield entered


async def _all_end(connections: list[Connection], reason: str) -> None:
    """Wait until each worker refuses the credential on each connection, and has ended its streams."""
    await asyncio.gather(*(until(partial(each.is_refused, reason)) for each in connections))
    for failure in await asyncio.gather(*(each.stream.failure() for each in connections)):
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
        assert failure.metadata == {"kept": "true"}
    assert await _reasons(connections) == {reason}


async def _reasons(connections: list[Connection]) -> set[str]:
    return set(await asyncio.gather(*(each.reason() for each in connections)))


@pytest.mark.parametrize("kind", ["key", "token", "certificate"])
async def test_a_revoked_credential(world: World, stack: AsyncExitStack, kind: str) -> None:
    """Each worker refuses it, on old connections and on new ones, and ends its streams, but no others."""
    makers = {"key": world.key, "token": world.token, "certificate": world.certificate}
    credential = await makers[kind]()
    going = await world.connections(stack, await world.key())
    connections = await world.connections(stack, credential)
    for connection in connections + going:
        await connection.stream.begin()
    await world.revoke(credential)
    await _all_end(connections, "CREDENTIALS_INVALID")
    assert await _reasons(await world.connections(stack, credential)) == {"CREDENTIALS_INVALID"}
    for connection in going:
        assert await connection.stream.finish() == "so far"
    if kind == "certificate":
        assert (await world.certificate()).key_id != credential.key_id
        assert await _reasons(connections) == {_ACCEPTED}


@pytest.mark.parametrize("kind", ["key", "token", "registration", "certificate"])
async def test_a_credential_expires(world: World, stack: AsyncExitStack, kind: str) -> None:
    """Each worker refuses it as expired, without a change in the database, and ends its streams."""
    credential = await {
        "key": lambda: world.key("--expires", f"{_SOON}s"),
        "token": lambda: world.token(_SOON),
        "registration": lambda: world.certificate("--expires", f"{_SOON}s"),
        "certificate": lambda: world.certificate(days=_SOON / 86_400),
    }[kind]()
    connections = await world.connections(stack, credential)
    for connection in connections:
        await connection.stream.begin()
    await _all_end(connections, "CREDENTIALS_EXPIRED")


async def test_no_secret_of_a_refused_credential_is_logged(world: World, stack: AsyncExitStack) -> None:
    """At the level debug, too, a log has the ids of keys and no secret, certificate or name."""
    credential, token, registered = await world.key(), await world.token(), await world.certificate()
    for each in (credential, token, registered):
        (connection, *_) = await world.connections(stack, each)
        await world.revoke(each)
        await until(partial(connection.is_refused, "CREDENTIALS_INVALID"))
    assert credential.secret is not None
    assert token.secret is not None
    for each in (credential, token):
        assert each.key_id in world.server.log
    for text in (credential.secret[21:], *token.secret.split("."), "BEGIN CERTIFICATE", "spiffe://"):
        assert text not in world.server.log
