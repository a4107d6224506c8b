"""Calls of one request that end differently: late, cancelled, or with their client."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from together_support import HELLO, requests

from sessionhistory import errors
from support.locks import locked_session
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]

# On one connection later requests arrive later.
ONE_CONNECTION = [("grpc.use_local_subchannel_pool", 0)]


async def test_each_has_its_own_time(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call whose deadline passes fails; the others, and the request, go on until their deadlines."""
    client = connect_asyncio(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    long = asyncio.ensure_future(client.get_history("long"))
    with pytest.raises(errors.DeadlineExceededError):
        await client.get_history("short", timeout_seconds=0.2)
    assert [sorted(names) for names in requests(fake)] == [["long", "short"]]
    assert fake.calls[0].seconds_left > PATIENCE_SECONDS
    assert not long.done()
    long.cancel()
    await asyncio.wait([long])
    await until(lambda: fake.given_up == 1)


async def test_the_last_that_waits_runs_out_of_time(connect_asyncio: Connect, fake: FakeServer) -> None:
    """When the last waiting call's deadline passes, the request ends, even if a cancelled one had longer."""
    client = connect_asyncio(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    long = asyncio.ensure_future(client.get_history("long"))
    short = asyncio.ensure_future(client.get_history("short", timeout_seconds=0.5))
    await until(lambda: fake.calls)
    long.cancel()
    with pytest.raises(errors.DeadlineExceededError):
        await short
    await until(lambda: fake.given_up == 1)


async def test_one_is_cancelled(connect_asyncio: Connect, fake: FakeServer) -> None:
    """The other calls go on; the request ends with its last call."""
    client = connect_asyncio(fake.address, options=ONE_CONNECTION)
    fake.answers = [None]
    one, other = (asyncio.ensure_future(client.get_history(name)) for name in ("one", "other"))
    await until(lambda: fake.calls)
    one.cancel()
    await asyncio.wait([one])
    assert one.cancelled()
    await client.get_session("later")  # if the request had ended, this call would arrive after its end
    assert (other.done(), fake.given_up, len(fake.calls)) == (False, 0, 2)
    other.cancel()
    await asyncio.wait([other])
    assert other.cancelled()
    await until(lambda: fake.given_up == 1)


async def test_one_is_cancelled_before_it_is_sent(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call that is cancelled before the request is sent is left out."""
    client = connect_asyncio(fake.address)
    calls = [asyncio.ensure_future(client.get_history(name)) for name in "abc"]
    asyncio.get_running_loop().call_soon(calls[0].cancel)
    await asyncio.wait(calls)
    assert requests(fake)[0] == ["b", "c"]


async def test_somebody_cancels_all_tasks(connect_asyncio: Connect, fake: FakeServer) -> None:
    """If the client's own task is cancelled, its callers are not cancelled, and retry."""
    client = connect_asyncio(fake.address)
    fake.answers = [None]
    calls = [asyncio.ensure_future(client.get_history(name)) for name in "ab"]
    await until(lambda: fake.calls)
    ours = {asyncio.current_task(), *calls}
    (hidden,) = (task for task in asyncio.all_tasks() - ours if "_make_together" in repr(task))
    hidden.cancel()
    await asyncio.gather(*calls)
    assert {name for names in requests(fake)[1:] for name in names} == {"a", "b"}


async def test_closing_ends_them(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Running calls and calls about to be sent get the error of a closed client."""
    client = connect_asyncio(fake.address, timeout_seconds=PATIENCE_SECONDS * 10)
    fake.answers = [None]
    under_way = [asyncio.ensure_future(client.get_history(name)) for name in "ab"]
    await until(lambda: fake.calls)
    due = [asyncio.ensure_future(client.get_history(name)) for name in "cd"]
    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(client.close()))
    done = await asyncio.wait_for(asyncio.gather(*under_way, *due, return_exceptions=True), PATIENCE_SECONDS)
    assert [(type(error), str(error)) for error in done] == [(RuntimeError, "the client is closed")] * 4


async def test_closing_ends_what_is_answered_in_part(
    connect_asyncio: Connect, service: Service, database_url: str
) -> None:
    """A call that still waits gets the error of a closed client, and no deadline error."""
    client = connect_asyncio(service.address, timeout_seconds=PATIENCE_SECONDS * 10)
    for session_id in ("held", "free"):
        await client.create_session(session_id)
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        await free
        await client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await asyncio.wait_for(held, PATIENCE_SECONDS)


async def test_a_locked_session_holds_up_nobody(
    connect_asyncio: Connect, service: Service, database_url: str
) -> None:
    """A call that waits for a locked session does not delay the others of its request."""
    client = connect_asyncio(service.address, timeout_seconds=PATIENCE_SECONDS)
    for session_id in ("held", "free"):
        await client.create_session(session_id)
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        assert (await asyncio.wait_for(free, PATIENCE_SECONDS)).last_sequence == 1
        assert not held.done()
    assert (await held).last_sequence == 1


async def test_two_event_loops(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call of another event loop is refused, even while a call of the first loop waits to be sent."""
    client = connect_asyncio(fake.address)
    await client.get_session("s")
    due = asyncio.ensure_future(client.get_history("due"))
    await asyncio.sleep(0)  # the call's task has run, and the task that sends it has not
    refused = []

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.get_history("elsewhere"))
        refused.append(True)

    thread = threading.Thread(target=elsewhere, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert refused
    await due
