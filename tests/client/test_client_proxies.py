"""If the environment names a proxy, clients use it for other machines and never for this one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from sessionhistory import errors
from sessionhistory._transport.targets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.proxy_trap import ProxyTrap

    Connect = Callable[..., Client]

LOOPBACK = [
    *("127.0.0.1:50051", "127.1.2.3:50051", "[::1]:50051", "localhost:50051", "LOCALHOST:50051", "localhost"),
    *("dns:localhost:50051", "dns:///127.0.0.1:50051", "dns://10.0.0.1/localhost:50051", "dns:///[::1]:1"),
    *("ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:50051", "ipv6:%5B::1%5D:50051", "unix:s", "unix:///s"),
    *("unix-abstract:session-history", "0.0.0.0:50051", "[::]:50051", "[::ffff:127.0.0.1]:50051"),
    *("[::ffff:0.0.0.0]:1", "[::1%lo]:50051", "localhost.:50051", "foo.localhost:50051", "a.b.LOCALHOST.:1"),
    *("ip6-localhost:50051", "ip6-loopback:50051", "dns:///foo.localhost:50051", "ipv4:0.0.0.0:50051"),
    "ipv6:[::]:50051",
]
ELSEWHERE = [
    *("history.internal:50051", "10.0.0.1:50051", "[2001:db8::1]:50051", "localhost.example:50051"),
    *("dns:///history.internal:50051", "ipv4:127.0.0.1:1,10.0.0.1:1", "ipv6:[2001:db8::1]:1"),
    *("xds:///localhost:1", "[::1:50051", "[::ffff:10.0.0.1]:50051", "foolocalhost:50051", ".:50051", ""),
    *("localhost..:50051", "passthrough:///127.0.0.1:50051"),
]


@pytest.mark.parametrize("target", LOOPBACK)
def test_a_target_on_loopback(target: str) -> None:
    """Every form of a loopback address that gRPC accepts is recognised."""
    assert is_loopback(target)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_target_elsewhere(target: str) -> None:
    """A target that is not, or not only, on this machine is not loopback; nor is an invalid one."""
    assert not is_loopback(target)


@pytest.mark.parametrize(
    "form",
    [
        *("127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"),
        *("0.0.0.0:{}", "[::ffff:127.0.0.1]:{}"),
    ],
)
async def test_loopback_is_reached_directly(
    connect: Connect, fake: FakeServer, proxy_trap: ProxyTrap, form: str
) -> None:
    """Both clients call the server, and the proxy sees nothing."""
    port = fake.address.rpartition(":")[2]
    await connect(form.format(port)).get_session("s")
    assert len(fake.calls) == 1
    assert not proxy_trap.was_asked


async def test_a_unix_socket_is_reached_directly(
    connect: Connect, fake: FakeServer, proxy_trap: ProxyTrap, tmp_path: Path
) -> None:
    """Unix sockets are reached directly too, with a file and without."""
    names = (f"unix:{tmp_path}/socket", f"unix-abstract:{tmp_path}")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    for name in names:
        server.add_insecure_port(name)
    await server.start()
    for name in names:
        await connect(name).get_session("s")
    await server.stop(None)
    assert len(fake.calls) == len(names)
    assert not proxy_trap.was_asked


async def test_other_machines_are_reached_through_the_proxy(connect: Connect, proxy_trap: ProxyTrap) -> None:
    """The client reaches other machines through the proxy, as gRPC does."""
    call = asyncio.create_task(connect("history.invalid:50051").get_session("s", timeout_seconds=30))
    assert await asyncio.to_thread(proxy_trap.first_line) == "CONNECT history.invalid:50051 HTTP/1.1"
    call.cancel()
    with pytest.raises((asyncio.CancelledError, errors.UnavailableError)):
        await call


async def test_the_callers_option_comes_first(
    connect: Connect, fake: FakeServer, proxy_trap: ProxyTrap
) -> None:
    """A caller can use a proxy for loopback by gRPC's option."""
    client = connect(fake.address, options=[("grpc.enable_http_proxy", 1)])
    call = asyncio.create_task(client.get_session("s", timeout_seconds=30))
    assert await asyncio.to_thread(proxy_trap.first_line) == f"CONNECT {fake.address} HTTP/1.1"
    call.cancel()
    with pytest.raises((asyncio.CancelledError, errors.UnavailableError)):
        await call
    assert not fake.calls
