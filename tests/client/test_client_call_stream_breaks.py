"""Streams of calls that fail: at their opening, with calls in progress, or at the server's wish."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import grpc
import pytest
from call_stream_support import HELLO, allow_slow_openings, alone, begun, open_stream
from client_samples import fresh_id

from sessionhistory import Message, Role, SessionFields, errors
from sessionhistory._async import call_stream, call_streams
from support.keys import make_key, revoke_key
from support.proxy import Proxy
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]
    Serve = Callable[..., Awaitable[Service]]

NEW = SessionFields()


@pytest.fixture(autouse=True)
def _slow_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_slow_openings(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock by which the client pauses, as ``seconds``, which the test changes."""
    clock = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(call_streams, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


async def is_asked(client: Client, fake: FakeServer) -> bool:
    """Return whether frequent calls make the client open a stream."""
    before = fake.streams.attempts
    for _ in range(3):
        await client.get_session("s")
    return fake.streams.attempts > before


@pytest.mark.parametrize("code", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED])
async def test_a_server_without_streams(
    connect_asyncio: Connect, fake: FakeServer, clock: SimpleNamespace, code: grpc.StatusCode
) -> None:
    """All calls are made alone; the client asks again after a minute."""
    fake.streams.code = code
    client = connect_asyncio(fake.address)
    assert await is_asked(client, fake)
    clock.seconds += 59
    assert not await is_asked(client, fake)
    clock.seconds += 2
    assert await is_asked(client, fake)
    assert len(fake.calls) == 9
    clock.seconds += 61
    assert await open_stream(client, fake)


async def test_a_server_that_is_gone_for_a_moment(
    connect_asyncio: Connect, fake: FakeServer, clock: SimpleNamespace
) -> None:
    """The client asks again after a second."""
    fake.streams.code = grpc.StatusCode.UNAVAILABLE
    client = connect_asyncio(fake.address)
    assert await is_asked(client, fake)
    assert not await is_asked(client, fake)
    clock.seconds += 1.1
    assert await is_asked(client, fake)


async def test_a_proxy_that_buffers(
    connect_asyncio: Connect, fake: FakeServer, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream without a first answer takes no calls, so none is delayed; the client asks after a minute."""
    fake.streams.code, fake.streams.is_silent = grpc.StatusCode.OK, True
    client = connect_asyncio(fake.address)
    with monkeypatch.context() as patch:
        patch.setattr(call_stream, "_FIRST_ANSWER_SECONDS", 0.01)
        assert await is_asked(client, fake)
        await until(lambda: fake.streams.opened and fake.streams.opened[0].is_over)
    assert (fake.streams.opened[0].calls, len(fake.calls)) == ([], 3)
    clock.seconds += 59
    assert not await is_asked(client, fake)
    clock.seconds += 2
    fake.streams.is_silent = False
    assert await open_stream(client, fake)


async def test_calls_in_progress(connect_asyncio: Connect, fake: FakeServer) -> None:
    """If a stream breaks, the client repeats appends and patches of a version, and fails other patches."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    append, failed, guarded = await begun(
        stream,
        client.append_message("a", HELLO),
        client.update_state("b", {}),
        client.update_state("c", {}, expected_state_version=1),
    )
    stream.end(grpc.StatusCode.INTERNAL)
    await asyncio.gather(append, guarded)
    with pytest.raises(errors.UnavailableError, match="the stream of the call has ended: over"):
        await failed
    sent, _, patch = stream.calls
    repeated = [call.request for call in fake.calls]
    assert sent.append_message in repeated
    assert patch.update_state in repeated
    assert len(repeated) == 2


async def test_a_stream_that_ends_in_order(connect_asyncio: Connect, fake: FakeServer) -> None:
    """The server has not read a call that it has not answered; so the client makes the call alone."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    calls = await begun(stream, client.update_state("b", {}))
    stream.end()
    await asyncio.gather(*calls)
    assert alone(fake) == ["b"]


async def test_the_server_ends_a_stream(connect_asyncio: Connect, fake: FakeServer) -> None:
    """New calls are made elsewhere, at once; the old stream ends after its last outcome."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    (call,) = await begun(stream, client.get_session("old"))
    await stream.send(ending=True)
    await until(lambda: stream.is_half_closed)
    assert await open_stream(client, fake) is not stream
    assert not call.done()
    await stream.answer("old")
    stream.end()
    await call
    assert [asked.session_id for asked in (call.get_session for call in stream.calls)] == ["old"]


async def test_streams_that_are_cut_soon(
    connect_asyncio: Connect, fake: FakeServer, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may limit the time of a stream: the client makes calls alone for a minute."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    stream.end(grpc.StatusCode.UNAVAILABLE)
    await until(lambda: not _streams(client))
    clock.seconds += 59
    assert not await is_asked(client, fake)
    clock.seconds += 2
    stream = await open_stream(client, fake)
    monkeypatch.setattr(call_streams, "_LONG_PAUSE_SECONDS", 0.0)  # now it counts as old
    stream.end(grpc.StatusCode.UNAVAILABLE)
    await until(lambda: not _streams(client))
    clock.seconds += 1.1
    assert await open_stream(client, fake)


async def test_a_connection_that_is_cut(connect_asyncio: Connect, shared: Service) -> None:
    """Appends whose answers are lost are stored once, in their sessions."""
    async with Proxy.running(f"postgresql://{shared.address}") as proxy:
        client = connect_asyncio(f"127.0.0.1:{proxy.port}")
        direct, session_id = connect_asyncio(shared.address), fresh_id()
        await client.append_message(session_id, HELLO, new_session=NEW)
        await until(lambda: _is_streaming(client, session_id))
        messages = [Message(role=Role.USER, content=str(number)) for number in range(20)]
        proxy.swallow_answers()
        appends = [asyncio.ensure_future(client.append_message(session_id, each)) for each in messages]

        async def are_stored() -> bool:
            return (await direct.get_session(session_id)).message_count == 21

        await until(are_stored)
        proxy.heal()
        await proxy.cut()
        results = await asyncio.gather(*appends)
    assert sorted(result.message.sequence for result in results) == list(range(2, 22))
    assert [result.message.message_id for result in results] == [each.message_id for each in messages]
    assert (await direct.get_session(session_id)).message_count == 21


async def test_a_key_that_is_revoked(serve: Serve, database_url: str, connect_asyncio: Connect) -> None:
    """The stream of the old key ends; calls go on with a fresh one."""
    service = await serve(database_url, auth=("keys",))
    (old_id, old), (_, new) = await make_key(service), await make_key(service)
    key, session_id = old, fresh_id()
    client = connect_asyncio(service.address, key=lambda: key)
    await client.append_message(session_id, HELLO, new_session=NEW)
    await until(lambda: _is_streaming(client, session_id))
    key = new
    await revoke_key(service, old_id)

    async def old_has_ended() -> bool:
        await client.get_session(session_id)
        return len(_streams(client)) == 1

    await client.get_session(session_id)
    await until(old_has_ended)
    await until(lambda: _is_streaming(client, session_id))


async def _is_streaming(client: Client, session_id: str) -> bool:
    """Make a call, and return whether a stream is open."""
    await client.get_session(session_id)
    return any(stream.is_open for stream in _streams(client))


def _streams(client: Client) -> list[call_stream.CallStream]:
    streams = client._transport._calls._streams._streams  # noqa: SLF001 - only tests ask
    return [stream for each in streams.values() for stream in each]
