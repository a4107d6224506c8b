"""CallStream: the rules of a stream, and its ends. Calls that were read are answered first."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from rpc_support import SERVICE_PATH, append, create, fresh_id, stored

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.limits import KIB, MAX_STREAM_CALLS, MAX_UNREAD_BYTES, MIB
from support.call_streams import ORDERED, UNORDERED, OpenCalls, appending, made, reading, reason_of
from support.errors import fails
from support.locks import locked_session, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

Ending = pb.CallStreamEnding
LIFETIME = "sessionhistory_server.rpc.streaming.lifetime"
STATE = {"update_state": {"session_id": "s", "patch": '{"a":1}'}}


async def test_a_header_comes_first(service: Service) -> None:
    """A header after the first message ends the stream. Calls before it are answered."""
    stream = OpenCalls(service.stub, ORDERED)
    numbers = await stream.send(appending())
    await stream.call.write(pb.CallStreamRequest(header={}, calls=[{"number": 9} | appending()]))
    assert (await stream.results(numbers))[0].HasField("append_message")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream.call.read()
    assert list(failure.violations) == ["header"]
    assert len(await stored(service)) == 1


async def test_too_many_calls_in_a_message(service: Service) -> None:
    """A message with too many calls ends the stream, and none of them is made."""
    stream = OpenCalls(service.stub)
    await stream.send(*[appending()] * (MAX_STREAM_CALLS + 1))
    assert await stream.read()
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream.call.read()
    assert list(failure.violations) == ["calls"]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await service.stub.GetSession(pb.GetSessionRequest(session_id="s"))


async def test_as_many_calls_as_there_may_be(service: Service) -> None:
    """A message may have 256 calls."""
    outcomes = await made(service.stub, *(appending(f"s{i % 8}") for i in range(MAX_STREAM_CALLS)))
    assert all(outcome.HasField("append_message") for outcome in outcomes)


async def test_a_number_twice(service: Service, database_url: str) -> None:
    """The number of a call in progress must not be used again; afterwards it may be."""
    await create(service, "s")
    stream = OpenCalls(service.stub)
    for _ in range(2):
        (outcome,) = await stream.make(reading() | {"number": 7})
        assert outcome.HasField("get_history")
    with locked_session(database_url):
        numbers = await stream.send(STATE | {"number": 7}, reading("t"))
        await until(lambda: waiting(database_url))
        await stream.send(reading("t") | {"number": 8}, reading("t") | {"number": 7}, appending("never"))
    (outcome, *_) = await stream.results([*numbers, 8])
    assert outcome.HasField("update_state")
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream.call.read()
    assert list(failure.violations) == ["calls[1].number"]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await service.stub.GetSession(pb.GetSessionRequest(session_id="never"))


async def test_a_call_of_no_known_method(shared: Service) -> None:
    """A call with a method of a newer contract, or with none, harms no other call."""
    newer = pb.StreamedCall.FromString(pb.StreamedCall(number=1).SerializeToString() + b"\xfa\x07\x00")
    request = pb.CallStreamRequest(calls=[newer, pb.StreamedCall(number=2)])
    request.calls.add(number=3, get_history={"session_id": fresh_id()})
    stream = OpenCalls(shared.stub)
    await stream.call.write(request)
    *unknown, known = await stream.results([1, 2, 3])
    assert [reason_of(each) for each in unknown] == [("UNIMPLEMENTED", "METHOD_UNKNOWN")] * 2
    assert reason_of(known) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    assert await stream.end() == "OK"


async def test_bytes_that_are_no_message(shared: Service) -> None:
    """Bytes that are no message, or too many, end the stream as they end any other call."""
    channel: Any = shared.channel
    for data, reason in ((b"\xff", "MALFORMED_REQUEST"), (b"\x12" + b"x" * 4 * MIB, "REQUEST_TOO_LARGE")):
        stream = channel.stream_stream(f"{SERVICE_PATH}/CallStream")()
        await stream.write(data)
        with fails("INVALID_ARGUMENT", reason):
            await stream.read()


async def test_malformed_bytes_after_calls(service: Service) -> None:
    """The calls before them are answered."""
    channel: Any = service.channel
    stream = channel.stream_stream(f"{SERVICE_PATH}/CallStream")()
    first = pb.CallStreamRequest(calls=[{"number": 1} | appending()])
    await stream.write(first.SerializeToString())
    await stream.write(b"\xff")
    assert await stream.read() == b""
    response = pb.CallStreamResponse.FromString(await stream.read())
    assert response.outcomes[0].HasField("append_message")
    with fails("INVALID_ARGUMENT", "MALFORMED_REQUEST"):
        await stream.read()


async def test_an_old_stream(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says that the stream ends, makes the calls that come meanwhile, and ends it well."""
    monkeypatch.setattr(f"{LIFETIME}.AGE_SECONDS", 0.2)
    stream = OpenCalls(service.stub)
    await stream.make(appending())
    await stream.until(lambda: stream.endings)
    assert stream.endings[0].reason == Ending.REASON_AGE
    assert stream.endings[0].grace.seconds == 2
    (outcome,) = await stream.make(reading())
    assert outcome.HasField("get_history")
    assert await stream.end() == "OK"
    assert len(stream.endings) == 1


async def test_an_old_stream_whose_caller_goes_on(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the grace, calls are refused; calls in progress are answered before the stream ends."""
    monkeypatch.setattr(f"{LIFETIME}.AGE_SECONDS", 0.2)
    monkeypatch.setattr("sessionhistory_server.rpc.streaming.call_stream.GRACE_SECONDS", 0.1)
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        held = await stream.send(STATE, reading())
        await stream.until(lambda: stream.endings)
        while True:
            (outcome,) = await stream.make(reading("t"))
            if reason_of(outcome) == ("UNAVAILABLE", "STREAM_ENDING"):
                break
        refused, unordered = await stream.make(appending("never"), appending("s"))
        assert {reason_of(each) for each in (refused, unordered)} == {("UNAVAILABLE", "STREAM_ENDING")}
    first, second = await stream.results(held)
    assert first.HasField("update_state")
    assert second.HasField("get_history")
    assert await stream.rest() == "OK"


async def test_an_idle_stream(serve: Serve, database_url: str) -> None:
    """A stream without calls ends well after a while; a stream with a call in progress goes on."""
    service = await serve(database_url, stream_idle_seconds=0.4)
    await create(service, "s")
    busy, idle = OpenCalls(service.stub), OpenCalls(service.stub)
    with locked_session(database_url):
        held = await busy.send(STATE)
        await idle.make(reading())
        assert await idle.rest() == "OK"
        assert [each.reason for each in idle.endings] == [Ending.REASON_IDLE]
        assert not busy.endings
    await busy.results(held)
    assert await busy.rest() == "OK"


async def test_a_stop_of_the_server(serve: Serve, database_url: str) -> None:
    """A server that stops says so at once, answers the calls in progress, and ends the stream well."""
    service = await serve(database_url)
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        held = await stream.send(STATE, appending(content="after"))
        await until(lambda: waiting(database_url))
        stopping = asyncio.create_task(service.app.stop())
        await stream.until(lambda: stream.endings)
        assert stream.endings[0].reason == Ending.REASON_STOPPING
    outcomes = await stream.results(held)
    assert not any(outcome.HasField("error") for outcome in outcomes)
    assert await stream.rest() == "OK"
    await stopping


async def test_a_stop_that_cannot_wait(serve: Serve, database_url: str) -> None:
    """Shortly before the end of the grace, calls that have not begun are refused: they have no effect."""
    service = await serve(database_url, grace_seconds=2)
    await create(service, "s")
    stream = OpenCalls(service.stub)
    with locked_session(database_url):
        _, waits = await stream.send(STATE, appending())
        await until(lambda: waiting(database_url))
        stopping = asyncio.create_task(service.app.stop())
        (refused,) = await stream.results([waits])
        assert reason_of(refused) == ("UNAVAILABLE", "STREAM_ENDING")
        await stopping
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.rest()


async def test_no_database_answers(serve: Serve) -> None:
    """Without a database each call is UNAVAILABLE, and says when to retry."""
    service = await serve("postgresql://localhost:1/none", serving=False)
    for outcome in await made(service.stub, appending("s"), reading("s")):
        assert reason_of(outcome) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")


async def test_responses_are_no_larger_than_any(service: Service) -> None:
    """Large windows come in separate responses, each within gRPC's default size."""
    large = mpb.Message(role=mpb.ROLE_USER, content="x" * (MIB - 1_000))
    session_ids = [fresh_id() for _ in range(3)]
    for session_id in session_ids:
        await append(service, session_id, large, large, new_session={})
    stream = OpenCalls(service.stub)
    outcomes = await stream.make(*map(reading, session_ids))
    assert [len(outcome.get_history.history.messages) for outcome in outcomes] == [2, 2, 2]
    assert len([each for each in stream.responses if each.outcomes]) == 3


async def test_answers_that_become_large(service: Service) -> None:
    """The calls that wait while the first large answers are made respect the room for unread answers."""
    size = 200 * KIB
    large = mpb.Message(role=mpb.ROLE_USER, content="x" * size)
    await append(service, "s", large, new_session={})
    small = await made(service.stub, *[{"get_session": {"session_id": "s"}}] * 64)
    assert len(small) == 64
    (connection,) = service.app._watcher._connections.values()  # noqa: SLF001 - only tests ask
    assert connection.has_small_answers
    stream = OpenCalls(service.stub, UNORDERED)
    numbers = await stream.send(*[reading("s")] * MAX_STREAM_CALLS)
    await until(lambda: connection.budget.queued_bytes or connection.unread_bytes > MAX_UNREAD_BYTES)
    assert connection.unread_bytes <= MAX_UNREAD_BYTES
    outcomes = await stream.results(numbers)
    assert all(outcome.HasField("get_history") for outcome in outcomes)


async def test_a_caller_that_reads_nothing(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """A caller that reads nothing until its deadline gets DEADLINE_EXCEEDED, and holds up no other stream."""
    large = mpb.Message(role=mpb.ROLE_USER, content="x" * (MIB - 1_000))
    await append(service, "s", large, large, new_session={})
    slow = OpenCalls(service.stub, timeout=1)
    await slow.send(*[reading("s")] * 32)
    (outcome,) = await made(service.stub, reading("s", max_messages=0))
    assert outcome.HasField("get_history")
    with caplog.at_level(logging.INFO, "sessionhistory_server.rpc.accounting"):
        assert await slow.code() == "DEADLINE_EXCEEDED"
        await until(lambda: service.app.is_idle)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_defect_of_one_call_is_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error of one call is INTERNAL for it alone, and is logged."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    await create(service, "s")
    monkeypatch.setattr("sessionhistory_server.rpc.convert.window.show_window", broken)
    window, appended = await made(service.stub, reading("s"), appending("s"))
    assert reason_of(window) == ("INTERNAL", "INTERNAL")
    assert appended.HasField("append_message")
    assert "internal error" in caplog.messages


async def test_a_server_without_sharing(serve: Serve, database_url: str) -> None:
    """Without shared statements the outcomes are the same."""
    service = await serve(database_url, coalesce=False)
    outcomes = await made(service.stub, *(appending("s", str(i)) for i in range(8)))
    assert [outcome.append_message.message.sequence for outcome in outcomes] == list(range(1, 9))


async def test_the_user_is_required_of_each(serve: Serve, database_url: str) -> None:
    """A server that requires a user requires one for each call."""
    service = await serve(database_url, require_user_id=True)
    good, bad = await made(service.stub, appending("s", user_id="u"), reading("s"))
    assert good.HasField("append_message")
    assert reason_of(bad) == ("INVALID_ARGUMENT", "INVALID_FIELD")
