"""Open streams during a stop, a kill and an outage; their logs and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory_server.config import Address
from sessionhistory_server.rpc.peers.connection import Exchange
from support.databases import execute
from support.errors import fails, failure_of
from support.metrics import Metrics
from support.proxy import Proxy, free_port
from support.service import NOT_SERVING, PATIENCE_SECONDS, Service
from support.waiting import eventually, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.processes import Server

    Serve = Callable[..., Awaitable[Service]]
    Start = Callable[..., Server]

Piece = stream_pb.AppendMessageStreamRequest
KEEP, DROP = stream_pb.ON_BREAK_KEEP, stream_pb.ON_BREAK_DROP
FINISH = Piece(finish={})
STORED = "select message_id, content, status from messages order by sequence"


def header(message_id: str, on_break: int = KEEP) -> Piece:
    """Return the header of a message of the session "s", which is created if it is missing."""
    begun = {"session_id": "s", "message": {"message_id": message_id}, "new_session": {}}
    return Piece(header=begun | {"on_break": on_break})


def text(said: str) -> Piece:
    """Return a delta of text."""
    return Piece(delta={"text": said})


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """A list that gets an item whenever the server begins to wait for a piece."""
    begun: list[Exchange] = []
    next_request = Exchange.next_request

    async def counted(exchange: Exchange) -> object:
        begun.append(exchange)
        return await next_request(exchange)

    monkeypatch.setattr(Exchange, "next_request", counted)
    return begun


async def begin(service: Service, waits: list[Exchange], *pieces: Piece) -> Any:
    """Begin a stream; return it when the server has read all pieces and waits for more."""
    before = len(waits)
    call = service.stub.AppendMessageStream()
    for piece in pieces:
        await call.write(piece)
    await until(lambda: len(waits) == before + len(pieces) + 1)
    return call


async def test_open_streams_end_before_the_grace_does(
    serve: Serve, database_url: str, waits: list[Exchange]
) -> None:
    """A stop lets streams finish; the others get an error, and their beginnings are kept or dropped."""
    service = await serve(database_url, grace_seconds=2)
    finishing = await begin(service, waits, header("finished"), text("a"))
    kept = await begin(service, waits, header("kept"), text("a"))
    dropped = await begin(service, waits, header("dropped", DROP), text("a"))
    empty = await begin(service, waits, header("empty"))
    stopping = asyncio.create_task(service.app.stop())
    await finishing.write(text("b"))
    await finishing.write(FINISH)
    assert (await finishing).message.content == "ab"
    for call, told in ((kept, "true"), (dropped, "false"), (empty, "false")):
        with fails("UNAVAILABLE", "SERVER_STOPPING") as failure:
            await call
        assert failure.metadata == {"kept": told}
        assert failure.retry_seconds == 1.0
    await stopping
    assert execute(database_url, STORED) == [("finished", "ab", "COMPLETE"), ("kept", "a", "INTERRUPTED")]


async def test_a_drain_leaves_streams_alone(service: Service, waits: list[Exchange]) -> None:
    """During the drain streams go on and new ones begin."""
    first = await begin(service, waits, header("first"), text("a"))
    stopping = asyncio.create_task(service.app.stop(drain_seconds=1))
    await service.wait_until_serving(NOT_SERVING)
    second = await begin(service, waits, header("second"), text("b"))
    for call in (first, second):
        await call.write(FINISH)
        assert (await call).message.status == mpb.MESSAGE_STATUS_COMPLETE
    assert not stopping.done()
    await stopping


async def test_a_stop_without_grace(serve: Serve, database_url: str, waits: list[Exchange]) -> None:
    """Without a grace streams are cut at once, and kept before the database is closed."""
    service = await serve(database_url, grace_seconds=0)
    calls = [await begin(service, waits, header(f"m{i}", (KEEP, DROP)[i % 2]), text("a")) for i in range(6)]
    await service.app.stop()
    for call in calls:
        assert (await call.code()).name in ("UNAVAILABLE", "CANCELLED")
    assert sorted(execute(database_url, STORED)) == [(f"m{i}", "a", "INTERRUPTED") for i in (0, 2, 4)]


async def test_the_database_is_away_at_the_finish(
    serve: Serve, proxy: Proxy, database_url: str, waits: list[Exchange]
) -> None:
    """If the database is away at the finish, the call fails; the same stream again is stored."""
    service = await serve(proxy.url)
    pieces = (header("m"), text("a"))
    call = await begin(service, waits, *pieces)
    await proxy.refuse()
    await service.wait_until_serving(NOT_SERVING)
    await call.write(FINISH)
    with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE"):
        await call
    with fails("UNAVAILABLE", "DATABASE_UNAVAILABLE"):  # the header is checked at once
        await service.stub.AppendMessageStream(iter((header("n"),)))
    proxy.heal()
    await service.wait_until_serving()
    assert execute(database_url, STORED) == []
    await service.stub.AppendMessageStream(iter((*pieces, FINISH)))
    assert execute(database_url, STORED) == [("m", "a", "COMPLETE")]


async def test_the_database_is_away_at_a_break(
    serve: Serve, proxy: Proxy, database_url: str, waits: list[Exchange]
) -> None:
    """The beginning from a caller that has gone is kept when the database is back.

    A caller that is still there gets an error that says that it is not kept.
    """
    service = await serve(proxy.url)
    gone = await begin(service, waits, header("gone"), text("a"))
    there = await begin(service, waits, header("there"), text("a"))
    await proxy.refuse()
    await service.wait_until_serving(NOT_SERVING)
    gone.cancel()
    await there.write(text("\0"))
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await there
    assert failure.metadata == {"kept": "false"}
    proxy.heal()
    await until(lambda: execute(database_url, STORED) == [("gone", "a", "INTERRUPTED")])


async def test_a_stop_does_not_wait_for_the_database(
    serve: Serve, proxy: Proxy, waits: list[Exchange]
) -> None:
    """A stop gives up beginnings that it cannot store at once."""
    service = await serve(proxy.url, grace_seconds=0)
    call = await begin(service, waits, header("m"), text("a"))
    await proxy.refuse()
    await service.wait_until_serving(NOT_SERVING)
    call.cancel()
    await until(lambda: service.stores_streams)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await service.app.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_killed(start: Start, database_url: str, workers: str) -> None:
    """Open streams of a killed server are lost, whatever on_break says; answered ones are stored once."""
    server = start("--workers", workers, SESSION_HISTORY_DATABASE_URL=database_url)
    stub = server.stub()
    pieces = (header("answered"), text("a"), FINISH)
    stub.AppendMessageStream(iter(pieces))
    released: list[Piece] = []

    def hesitate() -> Any:
        yield header("lost")
        yield text("a")
        eventually(lambda: released)

    call = stub.AppendMessageStream.future(hesitate())
    assert call.initial_metadata()
    server.signal(signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as caught:
        call.result(timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    released.append(FINISH)
    server.wait()
    assert execute(database_url, STORED) == [("answered", "a", "COMPLETE")]
    again = start("--workers", workers, SESSION_HISTORY_DATABASE_URL=database_url).stub()
    again.AppendMessageStream(iter(pieces))
    assert execute(database_url, STORED) == [("answered", "a", "COMPLETE")]


def test_workers_that_are_stopped(start: Start, database_url: str) -> None:
    """At SIGTERM streams of every worker are kept within the grace, and their callers get an error."""
    server = start("--workers", "2", "--grace-seconds", "1", SESSION_HISTORY_DATABASE_URL=database_url)
    stubs = [server.stub() for _ in range(4)]
    released: list[Piece] = []

    def hesitate(number: int) -> Any:
        yield header(f"m{number}")
        yield text("a")
        eventually(lambda: released)

    calls = [stub.AppendMessageStream.future(hesitate(i)) for i, stub in enumerate(stubs)]
    for call in calls:
        assert call.initial_metadata()
    server.signal(signal.SIGTERM)
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call.result(timeout=PATIENCE_SECONDS)
        failure = failure_of(caught.value)
        assert (failure.reason, failure.metadata) == ("SERVER_STOPPING", {"kept": "true"})
    released.append(FINISH)
    assert server.wait() == 0
    assert sorted(execute(database_url, STORED)) == [(f"m{i}", "a", "INTERRUPTED") for i in range(4)]


async def test_what_is_logged_and_counted(
    serve: Serve, database_url: str, waits: list[Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    """A stream has a request id, a code, messages and windows like any call, and never counts as slow."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port), slow_call_millis=1)
    caplog.set_level(logging.DEBUG, "sessionhistory_server")
    begun = header("m")
    begun.header.history.SetInParent()
    call = service.stub.AppendMessageStream(metadata=[("x-request-id", "mine")])
    for piece in (begun, text("zq-words"), FINISH):
        await call.write(piece)
    await call
    assert dict(await call.initial_metadata())["x-request-id"] == "mine"
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine"
    (await begin(service, waits, header("kept"), text("zq-words"))).cancel()
    with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
        await service.stub.AppendMessageStream(iter((header("bad"), text("zq-words"), text("zq-words\0"))))
    metrics = Metrics(port)
    calls = "sessionhistory_rpcs_total"
    await until(lambda: metrics.show(3, "sessionhistory_appended_messages_total"))
    await until(lambda: metrics.show(1, calls, "CANCELLED", "AppendMessageStream"))
    found = await metrics.fetch()
    assert found[calls, "OK", "AppendMessageStream"] == 1
    assert found[calls, "INVALID_ARGUMENT", "AppendMessageStream"] == 1
    assert found["sessionhistory_windows_total", "NONE"] == 1
    events = {(record.message, vars(record).get("code")) for record in caplog.records}
    assert {("call", "OK"), ("call", "CANCELLED"), ("call", "INVALID_ARGUMENT")} <= events
    assert "slow call" not in {event for event, _ in events}
    assert "zq-words" not in caplog.text


async def test_open_streams_are_shown(serve: Serve, database_url: str, waits: list[Exchange]) -> None:
    """A stream counts as open from its header until its last piece or a break."""
    port = free_port()
    service = await serve(database_url, metrics_listen=Address("127.0.0.1", port))
    metrics, name = Metrics(port), "sessionhistory_open_streams"
    assert await metrics.show(0, name)
    cancelled, finished = [await begin(service, waits, header(f"m{i}")) for i in range(2)]
    assert await metrics.show(2, name)
    cancelled.cancel()
    await until(lambda: metrics.show(1, name))
    await finished.write(FINISH)
    await finished
    assert await metrics.show(0, name)


async def test_what_is_not_kept_is_logged(
    service: Service, waits: list[Exchange], caplog: pytest.LogCaptureFixture
) -> None:
    """A beginning that is not kept is logged with the reason, and without its text."""
    call = await begin(service, waits, header("m"), text("zq-words"))
    await service.stub.AppendMessageStream(iter((header("m"), FINISH)))
    call.cancel()
    await until(lambda: "broken stream not kept" in caplog.messages)
    (record,) = (record for record in caplog.records if record.message == "broken stream not kept")
    assert vars(record)["reason"] == "MESSAGE_ID_REUSED"
    assert "zq-words" not in json.dumps([vars(record) for record in caplog.records], default=str)
    found = await service.stub.ListMessages(pb.ListMessagesRequest(session_id="s"))
    assert [message.content for message in found.messages] == [""]
