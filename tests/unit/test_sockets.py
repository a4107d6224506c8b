"""A connection is closed by the name that gRPC gives its peer."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, closing
from typing import Any

import grpc.aio
import pytest

from sessionhistory_server.rpc.peers import sockets


def _has(host: str) -> bool:
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as one:
        try:
            one.bind((host, 0))
        except OSError:
            return False
    return True


async def _end(_: bytes, context: Any) -> bytes:
    assert sockets.shut_down([context.peer()])
    return b""


class _Ending(grpc.GenericRpcHandler):
    def service(self, _: object) -> grpc.RpcMethodHandler[Any, Any]:
        """Return a function that closes the caller's connection."""
        return grpc.unary_unary_rpc_method_handler(_end)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_connection_ends(host: str) -> None:
    """The caller sees that its connection is closed, over each version of IP."""
    if not _has(host):
        pytest.skip(f"this machine has no {host}")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Ending(),))
    address = f"[{host}]:0" if ":" in host else f"{host}:0"
    port = server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address.removesuffix("0") + str(port)) as channel:
            call: Any = channel.unary_unary("/any/method")
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call(b"", timeout=30)
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(0)


def test_many_peers_take_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing many peers' connections looks once at each descriptor, and leaves other connections open."""
    looks: list[int] = []
    dup = os.dup

    def look(number: int) -> int:
        looks.append(number)
        return dup(number)

    monkeypatch.setattr(os, "dup", look)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname(), 10)) for _ in range(20)
        ]
        accepted = [stack.enter_context(listener.accept()[0]) for _ in clients]
        peers = {"ipv4:{}:{}".format(*client.getsockname()) for client in clients[1:]}
        assert sockets.shut_down([*peers, "unix:", "ipv4:127.0.0.1:1"]) == peers
        assert all(client.recv(1) == b"" for client in clients[1:])
        accepted[0].send(b"x")
        assert clients[0].recv(1) == b"x"
    assert len(looks) == len(set(looks))
