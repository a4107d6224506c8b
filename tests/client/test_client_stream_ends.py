"""Callers that give up while a stream opens, is written or finishes; each time its call ends."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from deaf_service import Deaf

from sessionhistory import SessionHistoryClient
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessionhistory import AsyncSessionHistoryClient as Client

    Connect = Callable[..., Client]

LONG_SECONDS = PATIENCE_SECONDS * 10


async def fill(stream: Any) -> None:
    """Write until there is no room in transit."""
    while True:
        await stream.write("x" * 100_000)


async def finish(stream: Any) -> None:
    """End the message."""
    await stream.finish()


@pytest.mark.parametrize("step", [None, fill, finish])
async def test_a_cancelled_task(connect_asyncio: Connect, step: Callable[[Any], Any] | None) -> None:
    """The call ends, and no longer counts on its connection."""
    deaf, entered = Deaf(accepts=step is not None), asyncio.Event()

    async def use(client: Client) -> None:
        async with client.append_message_stream("s") as stream:
            entered.set()
            assert step
            await step(stream)

    async with deaf.running() as address:
        client = connect_asyncio(address, timeout_seconds=LONG_SECONDS)
        task = asyncio.create_task(use(client))
        await until(lambda: deaf.calls == 1 and entered.is_set() == (step is not None))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: deaf.ended == 1)
        await until(lambda: calls_under_way(client) == 0)


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_before_the_server_knows(connect_asyncio: Connect, turns: int) -> None:
    """The call ends too if the task is cancelled in one of the first turns of the event loop."""
    async with Deaf(accepts=False).running() as address:
        client = connect_asyncio(address, timeout_seconds=LONG_SECONDS)
        opening = asyncio.create_task(client.append_message_stream("s").__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await until(lambda: calls_under_way(client) == 0)


def calls_under_way(client: Client) -> int:
    """Return how many calls the client counts on its connections."""
    connections = client._transport._connections._connections  # noqa: SLF001 - the client does not show it
    return sum(connection.calls_under_way for connection in connections)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, even where the shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c() -> None:
    """Ctrl-C ends a stream of the client for threads, which has no deadline of its own."""
    deaf, address = Deaf(accepts=False), Future[str]()
    main_thread = threading.get_ident()

    async def serve() -> None:
        async with deaf.running() as there:
            address.set_result(there)
            await until(lambda: deaf.calls == 1)
            signal.pthread_kill(main_thread, signal.SIGINT)
            await until(lambda: deaf.ended == 1)

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, serve())
        client = SessionHistoryClient(address.result(), timeout_seconds=LONG_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            client.append_message_stream("s").__enter__()
        served.result()
    client.close()
