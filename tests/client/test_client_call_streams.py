"""The asyncio client makes its frequent calls over streams; each behaves as if it were alone."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from call_stream_support import HELLO, allow_slow_openings, alone, begun, open_stream
from client_samples import fresh_id
from fake_server import info
from fake_streams import asked, outcome

from sessionhistory import Message, Role, SessionFields, errors
from sessionhistory._async import call_stream, call_streams, connections
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import FakeServer

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Connect = Callable[..., Client]

NEW = SessionFields()
LARGE = Message(role=Role.USER, content="x" * 70_000)

CALLS: dict[str, Callable[[Client], Any]] = {
    "append_message": lambda c: c.append_message("s", HELLO),
    "append_messages": lambda c: c.append_messages("s", [HELLO]),
    "get_history": lambda c: c.get_history("s"),
    "list_messages": lambda c: c.list_messages_page("s"),
    "get_message": lambda c: c.get_message("s", sequence=1),
    "get_session": lambda c: c.get_session("s"),
    "update_state": lambda c: c.update_state("s", {}),
}


@pytest.fixture(autouse=True)
def _slow_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_slow_openings(monkeypatch)


async def test_each_gets_its_own(connect_asyncio: Connect, shared: Service) -> None:
    """Each caller gets its own result, window or error."""
    client = connect_asyncio(shared.address)
    session_ids = [fresh_id() for _ in range(300)]

    async def append(session_id: str) -> str:
        message = Message(role=Role.USER, content=session_id)
        return (await client.append_message(session_id, message, new_session=NEW)).session_id

    for some in (session_ids[:100], session_ids[100:]):
        assert await asyncio.gather(*map(append, some)) == some
    *windows, missing = await asyncio.gather(
        *map(client.get_history, session_ids), client.get_history("none"), return_exceptions=True
    )
    assert [window.messages[0].content for window in windows] == session_ids
    assert isinstance(missing, errors.SessionNotFoundError)
    assert missing.code is grpc.StatusCode.NOT_FOUND
    assert missing.request_id
    assert "none" in str(missing)


@pytest.mark.parametrize("name", CALLS)
async def test_the_calls_of_a_stream(connect_asyncio: Connect, fake: FakeServer, name: str) -> None:
    """A stream takes the frequent methods, with the deadline of each call."""
    client = connect_asyncio(fake.address, timeout_seconds=50)
    stream = await open_stream(client, fake)
    await CALLS[name](client)
    (call,) = stream.calls
    assert (call.WhichOneof("request"), asked(call).session_id, fake.calls) == (name, "s", [])
    assert 40 < call.timeout.seconds < 50
    assert stream.metadata.get("x-request-id") is None


async def test_other_calls_are_made_alone(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Other methods and large requests have requests of their own."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    await client.delete_session("other")
    await client.append_message("large", LARGE)
    assert (alone(fake), stream.calls) == (["other", "large"], [])


async def test_calls_of_one_turn_share_a_message(connect_asyncio: Connect, fake: FakeServer) -> None:
    """No call waits for another one to come."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    await asyncio.gather(client.append_message("a", HELLO), client.get_history("b"), client.get_session("c"))
    await client.get_history("d")
    assert stream.groups == [["a", "b", "c"], ["d"]]
    assert len({call.number for call in stream.calls}) == 4


async def test_a_message_is_not_too_large(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Many large calls of one turn go in several messages."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    message = Message(role=Role.USER, content="x" * 30_000)
    await asyncio.gather(*(client.append_message(name, message) for name in "abcdef"))
    assert stream.groups == [["a", "b", "c"], ["d", "e", "f"]]


async def test_a_stream_for_each_metadata(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Calls share a stream only if they have the same metadata, because it may name a user."""
    token = "a"
    client = connect_asyncio(fake.address, metadata=lambda: {"authorization": token})
    first = await open_stream(client, fake)
    token = "b"
    second = await open_stream(client, fake)
    await client.get_session("of b")
    token = "a"
    await client.get_session("of a")
    assert (first.groups, second.groups) == ([["of a"]], [["of b"]])
    assert [stream.metadata["authorization"] for stream in (first, second)] == ["a", "b"]


async def test_request_ids_are_of_calls(connect_asyncio: Connect, fake: FakeServer) -> None:
    """Calls whose metadata differ in the request id share a stream."""
    ids = iter(range(10**6))
    client = connect_asyncio(fake.address, metadata=lambda: {"x-request-id": f"r{next(ids)}"})
    stream = await open_stream(client, fake)
    await client.get_session("a")
    await client.get_session("b")
    numbers = [int(call.request_id.removeprefix("r")) for call in stream.calls]
    assert numbers[1] == numbers[0] + 1
    assert len(fake.streams.opened) == 1


async def test_rare_calls_open_no_stream(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream would cost more than it saves."""
    monkeypatch.setattr(call_streams, "_OFTEN_SECONDS", 0)
    fake.streams.code = grpc.StatusCode.OK
    client = connect_asyncio(fake.address)
    for _ in range(5):
        await client.get_session("s")
    assert (fake.streams.attempts, len(fake.calls)) == (0, 5)


async def test_an_idle_stream_ends(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without calls holds no stream."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    with monkeypatch.context() as patch:
        patch.setattr(call_stream, "_IDLE_SECONDS", 0.01)
        await client.get_session("s", timeout_seconds=0.5)  # its deadline is the next moment to check
        await until(lambda: stream.is_over)
    assert stream.is_half_closed
    assert await open_stream(client, fake) is not stream


async def test_many_calls_use_several_connections(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If many calls are in progress on a stream, the client opens another one, up to a limit."""
    monkeypatch.setattr(call_streams, "_SHARED_CALLS", 2)
    monkeypatch.setattr(call_streams, "_MOST_STREAMS", 3)
    client = connect_asyncio(fake.address)
    fake.streams.answers_calls = False
    fake.streams.code = grpc.StatusCode.OK
    calls: list[asyncio.Task[Any]] = []

    def streams_with_calls() -> list[int]:
        calls.append(asyncio.ensure_future(client.get_session("s", timeout_seconds=100)))
        return [len(stream.calls) for stream in fake.streams.opened]

    await until(lambda: sum(counts := streams_with_calls()) >= 12 and len(counts) == 3)
    assert len({stream.peer for stream in fake.streams.opened}) == 3
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_a_server_that_is_overloaded(
    connect_asyncio: Connect, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After such an error, calls avoid the connection for a while: another one may lead to another worker."""
    monkeypatch.setattr(connections, "_AVOIDED_SECONDS", math.inf)
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    (call,) = await begun(stream, client.get_session("a"))
    stream.answers_calls = True
    await stream.answer("a", _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER_OVERLOADED"))
    await call
    second = await open_stream(client, fake)
    assert second.peer != stream.peer


async def test_limits_of_sizes_hold_for_each(connect_asyncio: Connect, fake: FakeServer) -> None:
    """A client that limits the size of messages makes each call alone."""
    fake.streams.code = grpc.StatusCode.OK
    client = connect_asyncio(fake.address, options=[("grpc.max_receive_message_length", 200_000)])
    for _ in range(3):
        await asyncio.gather(*map(client.get_history, "ab"))
    assert (fake.streams.attempts, len(fake.calls)) == (0, 6)


async def test_outcomes_that_make_no_sense(connect_asyncio: Connect, fake: FakeServer) -> None:
    """An invalid outcome fails only its own call."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    one, two, three = await begun(stream, *map(client.get_session, "abc"))
    a, b, c = stream.calls
    unknown, empty = pb.CallOutcome(number=b.number), pb.CallOutcome(number=c.number)
    unknown.error.code = 99
    await stream.send(pb.CallOutcome(number=99), unknown, empty, outcome(a), outcome(a))
    assert (await one).session_id == ""
    for broken in (two, three):
        with pytest.raises(errors.SessionHistoryError) as caught:
            await broken
        assert caught.value.code is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize("reason", ["STREAM_FULL", "STREAM_ENDING"])
async def test_a_call_that_a_stream_refuses(connect_asyncio: Connect, fake: FakeServer, reason: str) -> None:
    """The call had no effect, so the client makes it alone, even if it may not be repeated."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    (call,) = await begun(stream, client.update_state("s", {}))
    await stream.answer("s", _error(grpc.StatusCode.RESOURCE_EXHAUSTED, reason))
    await call
    assert alone(fake) == ["s"]


async def test_a_call_that_fails_for_a_moment(connect_asyncio: Connect, fake: FakeServer) -> None:
    """The call is repeated with the same ids; others are not."""
    client = connect_asyncio(fake.address)
    stream = await open_stream(client, fake)
    one, two = await begun(stream, client.append_message("a", HELLO), client.get_session("b"))
    await stream.answer("b")
    stream.answers_calls = True
    await stream.answer("a", _error(grpc.StatusCode.RESOURCE_EXHAUSTED, "POOL_EXHAUSTED"))
    await asyncio.gather(one, two)
    first, _, again = stream.calls
    assert first.append_message == again.append_message
    assert first.append_message.message.message_id


def _error(code: grpc.StatusCode, reason: str) -> pb.CallError:
    error = pb.CallError(code=code.value[0], message="not now")
    error.details.add().Pack(info(reason))
    return error
