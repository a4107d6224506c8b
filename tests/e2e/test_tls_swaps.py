"""The files of TLS change while calls and streams are in flight, which notice nothing."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tls_support import append, connect, fingerprint, serves
from workers_support import deaths_of

from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from support.certificates import Authority, Pair, alternative
from support.http2 import PREFACE
from support.open_stream import OpenStream
from support.processes import run
from support.service import connect as connect_client
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.processes import Server

_WORKERS = 2
_NAME = "URI:spiffe://corp/orders"
_CHANGED = "the server's certificate has changed"
_SWAPS = 3
_STREAMS = 6
_SENDERS = 3
_CONNECTIONS = 8 * _WORKERS
"""New connections that reach each worker in all likelihood. Each reaches a random one."""
_NO_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class World:
    """A server with mutual TLS, whose clients are known by their certificates."""

    def __init__(self, server: Server, own: Authority, first: Authority, second: Authority) -> None:
        self.server = server
        self.address = server.address()
        self._own = own
        self.first, self.second = first, second
        self.clients = [each.issue_for("orders", alternative(_NAME)) for each in (first, second)]

    def renew(self) -> None:
        """Write a new certificate of the server, and its key, in place of the last ones."""
        self._own.issue("server")

    def trust(self, *authorities: bytes) -> None:
        """Let the server trust these authorities of clients, in place of the last ones."""
        new = self.first.ca.with_name("new.pem")
        new.write_bytes(b"".join(authorities))
        new.rename(self.first.ca.with_name("trusted.pem"))

    def credentials(self, pair: Pair) -> Any:
        """Return the credentials of a client with a certificate."""
        return self._own.credentials(pair)

    def context(self, pair: Pair | None) -> ssl.SSLContext:
        """Return the same for sockets."""
        return self._own.context(pair)

    async def is_used_by_all(self, old: str) -> bool:
        """Return whether no new connection gets a certificate of the server any more."""
        context = self.context(self.clients[0])
        found = [await asyncio.to_thread(fingerprint, self.address, context) for _ in range(_CONNECTIONS)]
        return old not in found

    async def accepted(self, pair: Pair) -> int:
        """Return how many of several new connections with a certificate are accepted."""
        tls = self.credentials(pair)
        return sum([await asyncio.to_thread(serves, self.address, tls) for _ in range(_CONNECTIONS)])


@pytest_asyncio.fixture
async def world(start: Callable[..., Server], database_url: str, tmp_path: Path) -> World:
    """The server, which trusts the first authority of clients."""
    own, first, second = (Authority(tmp_path / name) for name in ("own", "first", "second"))
    trusted = first.ca.with_name("trusted.pem")
    trusted.write_bytes(first.ca.read_bytes())
    flags = (*own.issue("server").flags, "--tls-client-ca", trusted, "--auth", "certificates")
    server = start("--database-url", database_url, "--workers", str(_WORKERS), *flags)
    await asyncio.to_thread(server.wait_for, "database: ready")
    words = ("keys", "create", "--scope", "read", "--scope", "write", "--certificate", _NAME)
    done = await asyncio.to_thread(run, *words, "--database-url", database_url)
    assert done.returncode == 0, done.stderr
    return World(server, own, first, second)


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes connections after the test."""
    async with AsyncExitStack() as entered:
        yield entered


async def _stub(world: World, stack: AsyncExitStack, pair: Pair) -> Any:
    channel = await stack.enter_async_context(connect_client(world.address, world.credentials(pair)))
    stub: Any = pb_grpc.SessionHistoryServiceStub
    return stub(channel)


async def _streams(world: World, stack: AsyncExitStack) -> list[OpenStream]:
    streams = [OpenStream(await _stub(world, stack, world.clients[0])) for _ in range(_STREAMS)]
    for stream in streams:
        await stream.begin()
    return streams


async def _append_on_and_on(world: World, number: int, stop: asyncio.Event) -> int:
    """Append on one connection that lasts, and on new ones, without a retry; return the number of calls."""
    calls = 0
    async with AsyncExitStack() as stack:
        lasting = await _stub(world, stack, world.clients[0])
        while not stop.is_set():
            await lasting.AppendMessage(append(f"lasting-{number}"))
            async with AsyncExitStack() as once:
                new = await _stub(world, once, world.clients[0])
                await new.AppendMessage(append(f"new-{number}"))
            calls += 2
    return calls


async def test_streams_outlive_swaps_of_the_certificate(world: World, stack: AsyncExitStack) -> None:
    """No call of a client without retries fails, and each stream is stored as a whole."""
    streams, stop = await _streams(world, stack), asyncio.Event()
    senders = [asyncio.create_task(_append_on_and_on(world, n, stop)) for n in range(_SENDERS)]
    for count in range(1, _SWAPS + 1):
        before = await asyncio.to_thread(fingerprint, world.address, world.context(world.clients[0]))
        await asyncio.to_thread(world.renew)
        await until(lambda count=count: world.server.log.count(_CHANGED) == count)
        await until(lambda before=before: world.is_used_by_all(before))
        for stream in streams:
            await stream.write(f", {count}")
    stop.set()
    assert all(calls > 0 for calls in await asyncio.gather(*senders))
    assert {await stream.finish() for stream in streams} == {"so far, 1, 2, 3"}
    assert not deaths_of(world.server)


async def test_streams_outlive_a_change_of_the_clients_authority(world: World, stack: AsyncExitStack) -> None:
    """The authority moves on without a refused call, if both are trusted for a time."""
    streams, stop = await _streams(world, stack), asyncio.Event()
    senders = [asyncio.create_task(_append_on_and_on(world, n, stop)) for n in range(_SENDERS)]
    first, second = world.first.ca.read_bytes(), world.second.ca.read_bytes()
    old, new = world.clients
    assert await world.accepted(new) == 0
    world.trust(first, second)
    await until(lambda: _all(world, new))
    assert await world.accepted(old) == _CONNECTIONS
    stop.set()
    assert all(calls > 0 for calls in await asyncio.gather(*senders))
    world.trust(second)
    await until(lambda: _none(world, old))
    assert await world.accepted(new) == _CONNECTIONS
    stub = await _stub(world, stack, new)
    assert (await stub.AppendMessage(append("lasting-0"))).message.sequence > 1
    for stream in streams:
        await stream.write(", and on")
    assert {await stream.finish() for stream in streams} == {"so far, and on"}


async def _all(world: World, pair: Pair) -> bool:
    return await world.accepted(pair) == _CONNECTIONS


async def _none(world: World, pair: Pair) -> bool:
    return await world.accepted(pair) == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_of_tls_does_not_outlive_its_authority(world: World, version: ssl.TLSVersion) -> None:
    """A client that resumes a session shows no certificate, so nothing may be resumed after the change."""
    context = world.context(world.clients[0])
    context.minimum_version = context.maximum_version = version
    session = await asyncio.to_thread(_session, world.address, context, None)
    assert session is not None
    world.trust(world.second.ca.read_bytes())
    await until(lambda: _none(world, world.clients[0]))
    for _ in range(_CONNECTIONS):
        assert await asyncio.to_thread(_session, world.address, context, session) is None


def _session(address: str, context: ssl.SSLContext, known: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """Return a session of TLS, in which the server has answered; ``None``: the server refuses the client."""
    try:
        with connect(address) as plain:
            stream = context.wrap_socket(plain, server_hostname="127.0.0.1", session=known)
            with stream:
                stream.sendall(PREFACE + _NO_SETTINGS)
                return stream.session if stream.recv(len(_NO_SETTINGS)) else None
    except (ssl.SSLError, ConnectionError):
        return None
