"""Connections without answers: which ones a client closes, and which ones it keeps."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from sessionhistory.errors import DeadlineExceededError
from support.sockets import connections_to
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client

    Connect = Callable[..., Client]

MOST = 8
SHORT_SECONDS = 1.0


def peers(fake: FakeServer, since: int = 0) -> list[str]:
    """Return the connection of each call of a server, in order."""
    return [call.peer for call in fake.calls[since:]]


def left_open(fake: FakeServer) -> int:
    """Return the number of open connections; collect garbage first, since errors hold connections."""
    gc.collect()
    return connections_to(fake.address)


async def open_connections(client: Client, fake: FakeServer, count: int) -> None:
    """Make that many calls, which all run before the first is answered."""
    fake.answers = [None] * count
    calls = []
    for number in range(1, count + 1):
        calls.append(asyncio.ensure_future(client.list_sessions_page(timeout_seconds=300)))
        await until(lambda number=number: len(fake.calls) == number)
    fake.released.set()
    await asyncio.gather(*calls)
    fake.released.clear()


async def read(client: Client) -> None:
    """Make one call."""
    await client.list_sessions_page(timeout_seconds=SHORT_SECONDS)


async def stream(client: Client) -> None:
    """Open a stream."""
    await client.append_message_stream("s", timeout_seconds=SHORT_SECONDS).__aenter__()


async def test_one_of_several(connect: Connect, fake: FakeServer) -> None:
    """After one call fails on a silent connection, others avoid it, and it is closed."""
    client = connect(fake.address)
    await open_connections(client, fake, 3)
    silent = peers(fake)[0]
    fake.silent.add(silent)
    with pytest.raises(DeadlineExceededError):
        await read(client)
    for _ in range(10):
        await client.list_sessions_page()
    assert peers(fake, 3).count(silent) == 1
    assert len(set(peers(fake))) == 3
    await until(lambda: left_open(fake) == 2)


@pytest.mark.parametrize("fail", [read, stream])
async def test_the_only_one(
    connect_asyncio: Connect, fake: FakeServer, fail: Callable[[Client], Awaitable[None]]
) -> None:
    """If the only connection is silent, the next call opens another one, whatever the first call was."""
    client = connect_asyncio(fake.address)
    await client.list_sessions_page()
    (silent,) = peers(fake)
    fake.silent.add(silent)
    with pytest.raises(DeadlineExceededError):
        await fail(client)
    await client.list_sessions_page()
    assert peers(fake)[-1] != silent
    await until(lambda: left_open(fake) == 1)


async def test_a_stream_of_threads(connect_twin: Connect, fake: FakeServer) -> None:
    """A silent stream of the client for threads does so too."""
    client = connect_twin("threads", fake.address)
    await client.list_sessions_page()
    fake.silent.update(peers(fake))
    with pytest.raises(DeadlineExceededError):
        await stream(client)
    await client.list_sessions_page()
    assert len(set(peers(fake))) == 2


async def test_one_that_was_never_heard_is_kept(connect: Connect, fake: FakeServer) -> None:
    """A connection that opens more slowly than a call's deadline is not replaced by each call."""
    client = connect(fake.address)
    fake.answers = [None] * 3
    for _ in range(3):
        with pytest.raises(DeadlineExceededError):
            await client.list_sessions_page(timeout_seconds=SHORT_SECONDS / 5)
    await client.list_sessions_page()
    await until(lambda: len(fake.calls) == 4)
    assert len(set(peers(fake))) == 1


async def test_one_that_answers_others_is_kept(connect: Connect, fake: FakeServer) -> None:
    """A slow call does not count against a connection that answers other calls meanwhile."""
    client = connect(fake.address)
    await open_connections(client, fake, MOST)
    fake.answers = [None] * MOST
    slow = [asyncio.ensure_future(client.list_sessions_page(timeout_seconds=3)) for _ in range(MOST)]
    await until(lambda: len(fake.calls) == 2 * MOST)
    for _ in range(MOST):
        await client.list_sessions_page()
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(result) for result in results} == {DeadlineExceededError}
    for _ in range(MOST):
        await client.list_sessions_page()
    assert set(peers(fake, 2 * MOST)) == set(peers(fake)[:MOST])


async def test_the_calls_on_one_that_is_given_up_go_on(connect: Connect, fake: FakeServer) -> None:
    """A connection that was given up is closed after its running calls have ended."""
    client = connect(fake.address)
    await open_connections(client, fake, MOST)
    fake.answers = [None] * (MOST + 1)
    lasting = [asyncio.ensure_future(client.list_sessions_page(timeout_seconds=300)) for _ in range(MOST)]
    await until(lambda: len(fake.calls) == 2 * MOST)
    with pytest.raises(DeadlineExceededError):
        await read(client)
    for _ in range(MOST):
        await client.list_sessions_page()
    fake.released.set()
    await asyncio.gather(*lasting)
    await client.list_sessions_page()
    assert len(set(peers(fake))) == MOST + 1
    await until(lambda: left_open(fake) == MOST)
