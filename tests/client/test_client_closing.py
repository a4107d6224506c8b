"""Clients that are closed before their first call, during a call, and after it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from deaf_service import Deaf
from fake_server import FakeServer, Refusal, retry_after

from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionHistoryClient
from support.service import PATIENCE_SECONDS
from support.sockets import connections_to
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory import AsyncSessionHistoryClient as Client

CLOSED = "the client is closed"
LONG_SECONDS = PATIENCE_SECONDS * 10


async def test_a_client_is_closed_with_its_block(fake: FakeServer) -> None:
    """Both clients are context managers, which close them at the end."""
    async with AsyncSessionHistoryClient(fake.address) as client:
        await client.get_session("s")
    with pytest.raises(RuntimeError, match=CLOSED):
        await client.get_session("s")

    def block() -> None:
        with SessionHistoryClient(fake.address) as client:
            client.get_session("s")
        with pytest.raises(RuntimeError, match=CLOSED):
            client.get_session("s")

    await asyncio.to_thread(block)
    assert len(fake.calls) == 2


async def test_a_closed_client_refuses_calls(connect: Callable[..., Client], fake: FakeServer) -> None:
    """A closed client refuses calls, used or unused, closed once or twice."""
    for used in (False, True):
        client = connect(fake.address)
        if used:
            await client.get_session("s")
        await client.close()
        await client.close()
        with pytest.raises(RuntimeError, match=CLOSED):
            await client.get_session("s")
        with pytest.raises(RuntimeError, match=CLOSED):
            [session async for session in client.list_sessions()]


@pytest.mark.parametrize("repeatable", [True, False])
async def test_closing_ends_calls(
    connect: Callable[..., Client], fake: FakeServer, *, repeatable: bool
) -> None:
    """A running call fails because the client is closed, and not with a cancellation of its task."""
    client = connect(fake.address, timeout_seconds=LONG_SECONDS)
    fake.answers = [None]
    method = client.get_session if repeatable else client.delete_session
    call = asyncio.ensure_future(method("s"))
    await until(lambda: len(fake.calls) == 1)
    await client.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(RuntimeError, match=CLOSED):
            await call
    await until(lambda: fake.given_up == 1)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("turns", range(6))
async def test_closing_ends_streams_that_open(connect_twin: Callable[..., Client], turns: int) -> None:
    """A stream that opens is ended in each of the first turns of the event loop, and later."""
    async with Deaf(accepts=False).running() as address:
        client = connect_twin("asyncio", address, timeout_seconds=LONG_SECONDS)
        opening = asyncio.create_task(client.append_message_stream("s").__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(RuntimeError, match=CLOSED):
                await opening


async def test_closing_ends_streams_that_wait(connect: Callable[..., Client]) -> None:
    """A stream whose header the service does not accept is ended too."""
    deaf = Deaf(accepts=False)
    async with deaf.running() as address:
        client = connect(address, timeout_seconds=LONG_SECONDS)
        opening = asyncio.ensure_future(client.append_message_stream("s").__aenter__())
        await until(lambda: deaf.calls == 1)
        await client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(RuntimeError, match=CLOSED):
                await opening
        await until(lambda: deaf.ended == 1)


async def test_closing_ends_streams_that_connect(connect: Callable[..., Client]) -> None:
    """A stream to a server that accepts connections and says nothing is ended too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        client = connect(address, timeout_seconds=LONG_SECONDS)
        opening = asyncio.ensure_future(client.append_message_stream("s").__aenter__())
        await until(lambda: connections_to(address))
        await client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(RuntimeError, match=CLOSED):
                await opening


async def test_closing_between_attempts(connect: Callable[..., Client], fake: FakeServer) -> None:
    """A call that waits for its next attempt makes none."""
    client = connect(fake.address)
    fake.answers = [Refusal(details=[retry_after(0.5)])]
    call = asyncio.ensure_future(client.append_message("s", Message(role=Role.USER)))
    await until(lambda: len(fake.calls) == 1)
    await client.close()
    with pytest.raises(RuntimeError, match=CLOSED):
        await call
    assert len(fake.calls) == 1


async def test_cancelling_and_closing(connect_twin: Callable[..., Client], fake: FakeServer) -> None:
    """A task that is cancelled before the client is closed, as at the end of a program, is cancelled."""
    client = connect_twin("asyncio", fake.address, timeout_seconds=LONG_SECONDS)
    fake.answers = [None]
    call = asyncio.create_task(client.get_session("s"))
    await until(lambda: len(fake.calls) == 1)
    call.cancel()
    await client.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait([call])
    assert call.cancelled()
