"""The client for threads in many threads; and clients that were made before a fork or an event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from client_samples import fresh_id

from sessionhistory import Message, Role, SessionFields, SessionHistoryClient
from sessionhistory._sync.connections import Connection, Connections
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

THREADS = 16

# Makes a client and forks two children, each of which creates a session with it; then creates one itself.
FORK = """
import os, sys
from sessionhistory import SessionHistoryClient

client = SessionHistoryClient(sys.argv[1])
for session_id in sys.argv[2:4]:
    if not (child := os.fork()):
        client.create_session(session_id)
        client.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
client.create_session(sys.argv[4])
client.close()
"""

# Makes a client before there is an event loop.
NO_LOOP = """
import asyncio, sys
from sessionhistory import AsyncSessionHistoryClient

client = AsyncSessionHistoryClient(sys.argv[1])

async def main():
    async with client:
        for session_id in sys.argv[2:]:
            await client.create_session(session_id)
            for _ in range(20):  # over a stream
                await client.get_session(session_id)

asyncio.run(main())
"""


async def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Run a function in many threads without blocking the event loop; return the results."""
    with ThreadPoolExecutor(THREADS) as pool:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*[loop.run_in_executor(pool, work, number) for number in range(THREADS)])


async def test_many_threads_share_a_client(shared: Service) -> None:
    """Every append of every thread is stored once, and every thread gets its own answers."""
    session_id = fresh_id()

    def work(number: int) -> list[tuple[str, int]]:
        appended = []
        for turn in range(20):
            message = Message(role=Role.USER, content=f"{number}/{turn}")
            result = client.append_message(session_id, message, new_session=SessionFields())
            assert result.message.content == message.content
            assert client.get_message(session_id, message_id=message.message_id) == result.message
            appended.append((message.message_id, result.message.sequence))
        return appended

    with SessionHistoryClient(shared.address, timeout_seconds=30) as client:
        appended = [each for some in await in_threads(work) for each in some]
        found = await asyncio.to_thread(lambda: list(client.list_messages(session_id, page_size=100)))
    assert sorted(appended) == sorted((message.message_id, message.sequence) for message in found)
    assert [message.sequence for message in found] == list(range(1, THREADS * 20 + 1))


async def test_closing_while_many_call(fake: FakeServer) -> None:
    """Every thread gets the error of a closed client, wherever its call was."""
    busy = threading.Barrier(THREADS + 1)

    def work(_: int) -> str:
        busy.wait()
        try:
            while True:
                client.delete_session("s")
        except RuntimeError as error:
            return str(error)

    client = SessionHistoryClient(fake.address)
    ended = asyncio.ensure_future(in_threads(work))
    await asyncio.to_thread(busy.wait)
    await asyncio.to_thread(client.get_session, "s")
    await asyncio.to_thread(client.close)
    assert await ended == ["the client is closed"] * THREADS


def test_closing_at_the_last_moment(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was about to be sent gets the same error."""
    take = Connections.take  # the threads' timing cannot be arranged otherwise

    def closed_meanwhile(connections: Connections) -> Connection:
        connection = take(connections)
        connections.close()
        return connection

    monkeypatch.setattr(Connections, "take", closed_meanwhile)
    with pytest.raises(RuntimeError, match="the client is closed"):
        SessionHistoryClient(fake.address).get_session("s")


async def test_closing_while_many_tasks_call(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """Tasks get the same error, and none looks cancelled."""
    client = connect_twin("asyncio", fake.address)

    async def work() -> str:
        try:
            while True:
                await client.delete_session("s")
        except RuntimeError as error:
            return str(error)

    ended = asyncio.gather(*[work() for _ in range(THREADS)])
    await client.get_session("s")
    await client.close()
    assert await ended == ["the client is closed"] * THREADS


@pytest.mark.parametrize("program", [FORK, NO_LOOP], ids=["fork", "loop"])
async def test_a_client_that_was_made_before(shared: Service, program: str) -> None:
    """A client works in the children of a fork and then in the parent, and in a later event loop."""
    ids = [fresh_id() for _ in range(3)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program, shared.address, *ids),
        stderr=subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    for session_id in ids:
        await shared.stub.GetSession(pb.GetSessionRequest(session_id=session_id))
