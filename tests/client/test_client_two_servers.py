"""Clients of two servers: both are used, and one may be lost."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import pytest_asyncio
from client_twins import TWINS
from fake_server import FakeServer

from sessionhistory import Message, Role
from support.proxy import free_port
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.processes import Server

WRITERS = 8
TURNS = 40
PICK_FIRST = json.dumps({"loadBalancingConfig": [{"pick_first": {}}]})


@pytest_asyncio.fixture
async def other() -> AsyncIterator[FakeServer]:
    """Another server whose answers the test prepares."""
    server = FakeServer()
    running = await server.start()
    yield server
    await running.stop(None)


def both(*addresses: str) -> str:
    """Return a target that names several addresses."""
    return f"ipv4:{','.join(addresses)}"


async def test_calls_go_to_both(connect: Callable[..., Client], fake: FakeServer, other: FakeServer) -> None:
    """A client that is connected to both servers uses them in turn."""
    client = connect(both(fake.address, other.address))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (fake.calls and other.calls):
            await client.list_sessions_page()
    before = len(fake.calls), len(other.calls)
    for _ in range(10):
        await client.list_sessions_page()
    assert (len(fake.calls) - before[0], len(other.calls) - before[1]) == (5, 5)


async def test_the_callers_options_come_first(
    connect: Callable[..., Client], fake: FakeServer, other: FakeServer
) -> None:
    """A caller's own balancing policy in the channel's options takes precedence."""
    target = both(fake.address, other.address)
    client = connect(target, options=[("grpc.service_config", PICK_FIRST)])
    for _ in range(10):
        await client.list_sessions_page()
    assert (len(fake.calls), len(other.calls)) == (10, 0)


async def test_one_was_never_there(connect: Callable[..., Client], fake: FakeServer) -> None:
    """If one server never existed, the other gets all calls, and none fails."""
    client = connect(both(f"127.0.0.1:{free_port()}", fake.address))
    for _ in range(10):
        await client.delete_session("s")
    assert len(fake.calls) == 10


async def test_one_dies(
    connect_twin: Callable[..., Client], start_server: Callable[..., Server], database_url: str
) -> None:
    """When a server is killed, all appends of threads and tasks succeed, and none is lost or doubled."""
    appended: dict[str, int] = {}
    servers = [start_server(database_url, "--log-level", "debug") for _ in range(2)]
    for server in servers:
        server.wait_for("database: ready")
    target = both(*(server.address() for server in servers))
    clients = [connect_twin(kind, target, timeout_seconds=30) for kind in TWINS]
    await clients[0].create_session("s")

    async def write(client: Client) -> None:
        for _ in range(TURNS):
            result = await client.append_message("s", Message(role=Role.USER))
            appended[result.message.message_id] = result.message.sequence

    writers = asyncio.gather(*[write(client) for client in clients for _ in range(WRITERS)])
    await until(lambda: writers.done() or all(server.log.count("AppendMessage") > 20 for server in servers))
    assert not writers.done()
    servers[0].signal(signal.SIGKILL)
    await writers
    found = [message async for message in clients[0].list_messages("s", page_size=1_000)]
    assert {message.message_id: message.sequence for message in found} == appended
    assert [message.sequence for message in found] == list(range(1, 2 * WRITERS * TURNS + 1))
