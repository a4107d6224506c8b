"""Servers and databases that go away and come back during a client's calls."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from client_twins import TWINS

from sessionhistory import AppendMessageResult, Message, Role, SessionFields, errors
from sessionhistory_server.config import Address
from support.databases import execute
from support.locks import locked
from support.proxy import Proxy, free_port, is_free
from support.relay import relay
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.processes import Server
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]
    Connect = Callable[..., Client]

HELLO = Message(role=Role.USER, content="hello", message_id="hello")
FIRST = Message(role=Role.USER, message_id="first")


class Attempts:
    """Counts the attempts of a client, which ask it for their metadata."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, str]:
        """Count an attempt; return no metadata."""
        self.count += 1
        return {}


async def stored(client: Client) -> list[tuple[str, int]]:
    """Return the ids and the sequences of session `s`."""
    return [(message.message_id, message.sequence) async for message in client.list_messages("s")]


def append_each(clients: list[Client]) -> asyncio.Future[list[AppendMessageResult]]:
    """Append one message with each client concurrently."""
    messages = [Message(role=Role.USER) for _ in clients]
    return asyncio.gather(*map(lambda client, m: client.append_message("s", m), clients, messages))


async def check_appended(client: Client, results: list[AppendMessageResult]) -> None:
    """Expect session `s` to have these messages after its first one, each once."""
    appended = {result.message.message_id: result.message.sequence for result in results}
    found = await stored(client)
    assert dict(found) == {"first": 1} | appended
    assert [sequence for _, sequence in found] == list(range(1, len(results) + 2))


async def test_a_restart_in_the_middle_of_the_retries(
    connect: Connect, serve: Serve, database_url: str
) -> None:
    """An append that finds its server gone is stored once, as soon as a server is there."""
    attempts = Attempts()
    address = Address("127.0.0.1", free_port())
    before = await serve(database_url, listen=address)
    client = connect(before.address, metadata=attempts)
    await client.append_message("s", FIRST, new_session=SessionFields())
    await before.app.stop()
    append = asyncio.create_task(client.append_message("s", HELLO, timeout_seconds=30))
    await until(lambda: attempts.count >= 4)
    assert not append.done()
    await serve(database_url, listen=address)
    result = await append
    assert (result.message.sequence, result.message_count) == (2, 2)
    assert await stored(client) == [("first", 1), ("hello", 2)]


async def test_a_server_that_is_killed_in_the_middle_of_a_call(
    connect_twin: Connect, start_server: Callable[..., Server], serve: Serve, database_url: str
) -> None:
    """Appends that a killed server had begun are stored once; other calls fail, and none hangs."""
    port = free_port()
    server = start_server(database_url, "--listen", f"127.0.0.1:{port}")
    server.wait_for("database: ready")
    clients = [connect_twin(kind, server.address(), timeout_seconds=30) for kind in TWINS]
    await clients[0].append_message("s", FIRST, new_session=SessionFields())
    with locked(database_url, "sessions"):
        appends = append_each(clients)
        updates = [
            asyncio.ensure_future(client.update_session("s", title="t", etag="e")) for client in clients
        ]
        await until(lambda: waiting(database_url) >= 4)
        server.signal(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
        for outcome in await asyncio.gather(*updates, return_exceptions=True):
            assert type(outcome) is errors.UnavailableError
    await until(lambda: is_free(port))  # each killed process frees the port in its own time
    await serve(database_url, listen=Address("127.0.0.1", port))
    await check_appended(clients[0], await appends)


async def test_a_database_that_is_away_for_a_while(connect_twin: Connect, serve: Serve, proxy: Proxy) -> None:
    """Appends that find the database gone are stored once, as soon as it is back."""
    service = await serve(proxy.url)
    attempts = Attempts()
    clients = [connect_twin(kind, service.address, metadata=attempts, timeout_seconds=30) for kind in TWINS]
    await clients[0].append_message("s", FIRST, new_session=SessionFields())
    await proxy.refuse()
    before = attempts.count
    appends = append_each(clients)
    await until(lambda: attempts.count >= before + 4)
    proxy.heal()
    await check_appended(clients[0], await appends)


async def test_a_server_is_found_again_soon(connect_twin: Connect, fake: FakeServer) -> None:
    """A client does not wait longer and longer to connect, however long the server was away."""
    async with relay(fake.address, refused=5) as address:
        await connect_twin("asyncio", address).get_session("s")


async def test_a_call_without_a_server(connect: Connect) -> None:
    """A call that must not be repeated fails at once if there is no server."""
    attempts = Attempts()
    client = connect(f"127.0.0.1:{free_port()}", metadata=attempts)
    with pytest.raises(errors.UnavailableError):
        await client.delete_session("s")
    assert attempts.count == 1


def waiting(database_url: str) -> int:
    """Return how many statements wait for a lock."""
    ((count,),) = execute(
        database_url,
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'",
    )
    assert isinstance(count, int)
    return count
