"""How many connections a client opens, and how it spreads its calls over them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from client_samples import fresh_id

from sessionhistory import Message, Role, SessionFields, SessionHistoryClient
from sessionhistory._async import connections as of_asyncio
from sessionhistory._sync import connections as of_threads
from support.sockets import connections_to
from support.waiting import eventually, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.processes import Server
    from support.service import Service

    Connect = Callable[..., Client]

MOST = 8
HELLO = Message(role=Role.USER, content="hello")
CLIENTS, THREADS, CALLS = 5, 16, 400


def peers(fake: FakeServer, since: int = 0) -> list[str]:
    """Return the connection of each call of a server, in order."""
    return [call.peer for call in fake.calls[since:]]


async def begin(client: Client, fake: FakeServer, calls: int) -> list[asyncio.Task[None]]:
    """Make calls one after the other, none of which is answered before all are made."""
    tasks = []
    for number in range(len(fake.calls) + 1, len(fake.calls) + calls + 1):
        fake.answers.append(None)
        tasks.append(asyncio.create_task(client.delete_session("s", timeout_seconds=300)))
        await until(lambda number=number: len(fake.calls) == number)
    return tasks


async def make_at_once(client: Client, fake: FakeServer, calls: int) -> None:
    """Make calls that all run before the first is answered."""
    tasks = await begin(client, fake, calls)
    fake.released.set()
    await asyncio.gather(*tasks)


async def test_one_call_at_a_time_needs_one_connection(connect: Connect, fake: FakeServer) -> None:
    """Sequential calls use one connection, however many calls there are."""
    client = connect(fake.address)
    for _ in range(20):
        await client.list_sessions_page()
    assert len(set(peers(fake))) == 1


async def test_calls_at_the_same_time_are_spread(connect: Connect, fake: FakeServer) -> None:
    """Concurrent calls have a connection each, up to eight; further calls are spread evenly."""
    client = connect(fake.address)
    await make_at_once(client, fake, 2 * MOST)
    assert len(set(peers(fake)[:MOST])) == MOST
    assert list(Counter(peers(fake)).values()) == [2] * MOST


async def test_open_connections_are_used_in_turn(connect: Connect, fake: FakeServer) -> None:
    """Sequential calls use open connections in turn, so that no worker of a server gets all of them."""
    client = connect(fake.address)
    await make_at_once(client, fake, 3)
    for _ in range(6):
        await client.list_sessions_page()
    assert peers(fake, 3) == peers(fake)[:3] * 2


async def test_a_connection_that_fails_is_avoided(
    connect: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection whose calls fail at once has no running calls, but does not attract all others."""
    for module in (of_asyncio, of_threads):
        monkeypatch.setattr(module, "_AVOIDED_SECONDS", math.inf)
    client = connect(fake.address)
    await make_at_once(client, fake, 3)
    failing = peers(fake)[0]
    fake.refused.add(failing)
    for _ in range(10):
        await client.list_sessions_page()
    assert peers(fake, 3).count(failing) == 1
    assert len(fake.calls) == 3 + 11


async def test_a_connection_is_avoided_for_a_while(
    connect: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some time a failed connection is used again."""
    for module in (of_asyncio, of_threads):
        monkeypatch.setattr(module, "_AVOIDED_SECONDS", 0)
    client = connect(fake.address)
    await make_at_once(client, fake, 2)
    failing = peers(fake)[0]
    fake.refused.add(failing)
    await client.list_sessions_page()
    fake.refused.clear()
    await client.list_sessions_page()
    assert peers(fake, 2).count(failing) == 2


async def test_an_open_stream_is_a_call_under_way(connect: Connect, service: Service) -> None:
    """An open stream counts as a call on its connection until it ends."""
    before = connections_to(service.address)
    client = connect(service.address)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            stream = client.append_message_stream(fresh_id(), new_session=SessionFields())
            await stack.enter_async_context(stream)
        assert connections_to(service.address) == before + 3
    for _ in range(4):
        async with client.append_message_stream(fresh_id(), new_session=SessionFields()) as stream:
            await stream.write("hello")
        with pytest.raises(ZeroDivisionError):
            async with client.append_message_stream(fresh_id(), new_session=SessionFields()):
                raise ZeroDivisionError
    assert connections_to(service.address) == before + 3


async def test_all_are_closed_with_the_client(connect: Connect, fake: FakeServer) -> None:
    """Closing the client closes all connections."""
    client = connect(fake.address)
    await make_at_once(client, fake, MOST)
    assert connections_to(fake.address) == MOST
    await client.close()
    await until(lambda: not connections_to(fake.address))


async def test_a_caller_may_want_one(connect: Connect, fake: FakeServer) -> None:
    """With gRPC's own option a caller gets one connection for all calls."""
    client = connect(fake.address, options=[("grpc.use_local_subchannel_pool", 0)])
    await make_at_once(client, fake, 3)
    assert len(set(peers(fake))) == 1


async def test_clients_share_no_connection(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Clients do not share connections, so that many clients use many workers."""
    for _ in range(3):
        await connect_asyncio(fake.address).list_sessions_page()
    assert len(set(peers(fake))) == 3


def test_many_threads_keep_both_workers_busy(start_server: Callable[..., Server], database_url: str) -> None:
    """The connections of one client reach both workers.

    By chance all lead to one worker for 1 client in 128, so five clients in a row are enough.
    """
    server = start_server(database_url, "--workers", "2", "--log-level", "debug")
    server.wait_for("database: ready")
    for number in range(CLIENTS):
        append_from_threads(server.address(), f"s{number}")
        eventually(lambda n=number: len(workers_that_appended(server)) == CALLS * (n + 1))
        if len(set(workers_that_appended(server)[-CALLS:])) == 2:
            return
    pytest.fail("each client has kept one worker busy")


def append_from_threads(address: str, session_id: str) -> None:
    """Append to a session with one client, from many threads."""
    with SessionHistoryClient(address) as client, ThreadPoolExecutor(THREADS) as pool:
        session = SessionFields()
        calls = [
            pool.submit(client.append_message, session_id, HELLO, new_session=session) for _ in range(CALLS)
        ]
        assert {call.result().message.sequence for call in calls} == {1}


def workers_that_appended(server: Server) -> list[int]:
    """Return the worker that answered each append."""
    return [event["worker"] for event in server.events if event.get("method") == "AppendMessage"]
