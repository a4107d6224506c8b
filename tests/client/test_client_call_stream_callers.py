"""Callers of one stream that give up at different times; and the end of their client."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from call_stream_support import HELLO, allow_slow_openings, alone, begun, open_stream

from sessionhistory import AsyncSessionHistoryClient, errors
from sessionhistory._async import call_stream
from support.locks import locked_session
from support.service import PATIENCE_SECONDS
from support.sockets import connections_to
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]

LONG_SECONDS = PATIENCE_SECONDS * 10
CLOSED = (RuntimeError, "the client is closed")


@pytest.fixture(autouse=True)
def _slow_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_slow_openings(monkeypatch)


async def test_each_has_its_own_time(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call whose deadline passes fails; the others, and the stream, go on."""
    client = connect_asyncio(fake.address, timeout_seconds=LONG_SECONDS)
    stream = await open_stream(client, fake)
    long, short = await begun(
        stream, client.get_history("long"), client.get_session("short", timeout_seconds=1)
    )
    middle = asyncio.ensure_future(client.get_session("middle"))
    await until(lambda: len(stream.calls) == 3)
    await stream.answer("middle")  # so the connection is alive
    await middle
    with pytest.raises(errors.DeadlineExceededError):
        await short
    assert not long.done()
    await stream.answer("short")  # too late
    await stream.answer("long")
    await long
    stream.answers_calls = True
    await client.get_session("another")
    assert stream.groups[-1] == ["another"]


async def test_one_is_cancelled(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Its outcome is ignored when it comes."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    one, other = await begun(stream, client.get_session("one"), client.get_session("other"))
    one.cancel()
    await asyncio.wait([one])
    assert one.cancelled()
    await stream.answer("one")
    await stream.answer("other")
    await other
    assert (stream.is_half_closed, fake.calls) == (False, [])


async def test_one_is_cancelled_before_it_is_sent(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call that is cancelled in its first turn is not sent."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    calls = [asyncio.ensure_future(client.get_session(name)) for name in "abc"]
    asyncio.get_running_loop().call_soon(calls[0].cancel)
    await asyncio.wait(calls)
    assert (calls[0].cancelled(), stream.groups) == (True, [["b", "c"]])


async def test_the_tasks_of_the_stream_are_cancelled(connect_asyncio: Connect, fake: FakeServer) -> None:
    """The callers are not cancelled, and retry."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    calls = await begun(stream, client.get_session("a"), client.get_session("b"))
    for task in asyncio.all_tasks():
        if "CallStream._" in repr(task):
            task.cancel()
    await asyncio.gather(*calls)
    await until(lambda: stream.is_over)
    anew = [call.get_session.session_id for each in fake.streams.opened[1:] for call in each.calls]
    assert sorted(alone(fake) + anew) == ["a", "b"]


async def test_a_call_that_cannot_be_sent_fails_alone(connect_asyncio: Connect, fake: FakeServer) -> None:
    """An id that HTTP/2 does not allow is refused; the calls of others, and their stream, go on."""
    request_ids = ["\ud800"]
    client = connect_asyncio(
        fake.address, metadata=lambda: {"x-request-id": request_ids.pop()} if request_ids else {}
    )
    with pytest.raises(UnicodeEncodeError):
        await client.get_session("bad")
    stream = await open_stream(client, fake)
    (other,) = await begun(stream, client.get_session("other"))
    request_ids.append("\ud800")
    with pytest.raises(UnicodeEncodeError):
        await client.get_session("bad")
    await stream.answer("other")
    await other
    assert (stream.is_over, alone(fake)) == (False, [])


async def test_the_longest_timeout(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A caller that wants no timeout may give the largest number."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    await client.get_session("s", timeout_seconds=sys.float_info.max)
    (call,) = stream.calls
    assert call.timeout.ToTimedelta() > timedelta(days=365)
    assert alone(fake) == []
    await client.truncate_messages("s", keep_through_sequence=1, timeout_seconds=sys.float_info.max)
    assert alone(fake) == ["s"]


async def test_closing_ends_them(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Calls in progress, and calls about to be sent, get the error of a closed client; nothing is left."""
    client = connect_asyncio(fake.address, timeout_seconds=LONG_SECONDS)
    stream = await open_stream(client, fake)
    in_progress = await begun(stream, client.get_session("a"), client.get_session("b"))
    due = [asyncio.ensure_future(client.get_session(name)) for name in "cd"]
    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(client.close()))
    ended = asyncio.gather(*in_progress, *due, return_exceptions=True)
    done = await asyncio.wait_for(ended, PATIENCE_SECONDS)
    assert [(type(error), str(error)) for error in done] == [CLOSED] * 4
    await until(lambda: stream.is_over)
    await until(lambda: not any("CallStream._" in repr(task) for task in asyncio.all_tasks()))
    del ended, done, in_progress, due  # errors hold connections
    gc.collect()
    await until(lambda: not connections_to(fake.address))


async def test_closing_ends_a_call_that_waits(
    connect_asyncio: Connect, service: Service, database_url: str
) -> None:
    """A call that waits for a session gets the error of a closed client, and no deadline error."""
    client = connect_asyncio(service.address, timeout_seconds=LONG_SECONDS)
    for session_id in ("held", "free"):
        await client.create_session(session_id)
    await _streaming(client, "free")
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        await free
        await client.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await asyncio.wait_for(held, PATIENCE_SECONDS)


async def test_a_locked_session_holds_up_nobody(
    connect_asyncio: Connect, service: Service, database_url: str
) -> None:
    """A call that waits for a session does not delay the others of its stream, whatever time it takes."""
    client = connect_asyncio(service.address, timeout_seconds=PATIENCE_SECONDS)
    for session_id in ("held", "free"):
        await client.create_session(session_id)
    await _streaming(client, "free")
    with locked_session(database_url, "held"):
        held, free = (asyncio.ensure_future(client.append_message(name, HELLO)) for name in ("held", "free"))
        assert (await asyncio.wait_for(free, PATIENCE_SECONDS)).last_sequence == 1
        assert not held.done()
    assert (await held).last_sequence == 1


async def test_a_silent_connection(connect_asyncio: Connect, fake: FakeServer) -> None:
    """If a stream brings nothing until the deadline of a call, other calls avoid its connection."""
    client = connect_asyncio(fake.address, timeout_seconds=LONG_SECONDS)
    stream = await open_stream(client, fake)
    (late,) = await begun(stream, client.get_session("late", timeout_seconds=0.2))
    with pytest.raises(errors.DeadlineExceededError):
        await late
    second = await open_stream(client, fake)
    assert second.peer != stream.peer
    await until(lambda: stream.is_half_closed)


async def test_a_call_without_an_outcome(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an outcome is long overdue, the client ends the stream, so that no number is in use for ever."""
    monkeypatch.setattr(call_stream, "_OVERDUE_SECONDS", 0.01)
    client = connect_asyncio(fake.address, timeout_seconds=LONG_SECONDS)
    stream = await open_stream(client, fake)
    lost, other = await begun(
        stream, client.get_session("lost", timeout_seconds=0.5), client.get_session("other")
    )
    await stream.send()  # the connection is alive
    with pytest.raises(errors.DeadlineExceededError):
        await lost
    await until(lambda: stream.is_over)
    await other
    assert [call.request.session_id for call in fake.calls] == ["other"]


async def test_a_stream_that_the_server_does_not_end(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client ends a stream without calls whose server does not end it."""
    monkeypatch.setattr(call_stream, "_OVERDUE_SECONDS", 0.01)
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    stream.answers_calls = False
    await stream.send(ending=True)
    await until(lambda: stream.is_over)
    assert stream.is_half_closed


async def test_two_event_loops(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A call of another event loop is refused."""
    client = connect_asyncio(fake.address)
    await open_stream(client, fake)
    refused = []

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(client.get_history("elsewhere"))
        refused.append(True)

    thread = threading.Thread(target=elsewhere, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert refused


async def test_a_client_without_an_end(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of a client that nothing refers to end when they are idle."""
    monkeypatch.setattr(call_stream, "_IDLE_SECONDS", 0.2)
    fake.streams.code = grpc.StatusCode.OK
    await _use_up_a_client(fake)
    gc.collect()
    await until(lambda: fake.streams.opened[0].is_over)
    gc.collect()
    await until(lambda: not connections_to(fake.address))


async def _use_up_a_client(fake: FakeServer) -> None:
    client = AsyncSessionHistoryClient(fake.address)

    async def is_asked() -> bool:
        await client.get_session("a")
        return bool(fake.streams.opened)

    await until(is_asked)


async def _streaming(client: Client, session_id: str) -> None:
    """Make calls until a stream is open."""
    streams = client._transport._calls._streams._streams  # noqa: SLF001 - only tests ask

    async def is_open() -> bool:
        await client.get_session(session_id)
        return any(stream.is_open for each in streams.values() for stream in each)

    await until(is_open)
