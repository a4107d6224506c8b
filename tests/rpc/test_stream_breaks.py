"""Broken streams: the header says whether the beginning is kept or dropped, never a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from rpc_support import append, call, create, get, said, stored, update
from stream_support import (
    COMPLETE,
    DROP,
    INTERRUPTED,
    KEEP,
    Piece,
    begin,
    contents,
    finish,
    header,
    stream,
    text,
    tool_call,
)

from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.rpc.peers.connection import Exchange
from support.databases import execute
from support.errors import fails
from support.locks import locked
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_COUNT = "select count(*) from messages"


async def _until_settled(service: Service) -> None:
    """Wait until no stream is open and no message of one is being stored."""
    await until(lambda: not service.awaits_pieces and not service.stores_streams)


class Reads:
    """Counts how often the server has begun to wait for a piece."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        next_request = Exchange.next_request

        async def counted(exchange: Exchange) -> object:
            self.begun += 1
            return await next_request(exchange)

        monkeypatch.setattr(Exchange, "next_request", counted)

    async def all(self, service: Service, *pieces: Piece, **options: float) -> Any:
        """Begin a stream, and wait until the server has read all pieces and waits for more."""
        before = self.begun
        call = await begin(service, *pieces, **options)
        await until(lambda: self.begun == before + len(pieces) + 1)
        return call


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Counts the server's reads of pieces."""
    return Reads(monkeypatch)


async def _cancel(reads: Reads, service: Service, *pieces: Piece) -> None:
    broken = await reads.all(service, *pieces)
    broken.cancel()


async def _pass_the_deadline(reads: Reads, service: Service, *pieces: Piece) -> None:
    broken = await reads.all(service, *pieces, timeout=2)
    assert await broken.code() is grpc.StatusCode.DEADLINE_EXCEEDED


BREAKS = {"cancel": _cancel, "deadline": _pass_the_deadline}


@pytest.mark.parametrize("how", BREAKS)
async def test_a_caller_that_goes(service: Service, reads: Reads, database_url: str, how: str) -> None:
    """After a cancellation, KEEP stores the beginning as INTERRUPTED, and DROP stores nothing."""
    await create(service)
    for on_break, number in ((KEEP, 0), (DROP, 1), (0, 2)):
        first = header(message_id=f"m{number}", on_break=on_break)
        await BREAKS[how](reads, service, first, text("what had "), text("come"))
    await until(lambda: execute(database_url, _COUNT) == [(2,)])
    await _until_settled(service)
    assert await contents(service) == [("what had come", INTERRUPTED)] * 2
    assert [message.message_id for message in await stored(service)] == ["m0", "m2"]


@pytest.mark.parametrize("how", BREAKS)
async def test_of_a_header_alone_nothing_is_kept(
    service: Service, reads: Reads, database_url: str, how: str
) -> None:
    """A break after the header stores no message and no session, unless the header has content."""
    await create(service)
    for empty in (header("new", new_session={}), header(message={"metadata": "{}", "content": ""})):
        await BREAKS[how](reads, service, empty)
    await BREAKS[how](reads, service, header("kept", new_session={}, message={"content": "begun"}))
    await until(lambda: execute(database_url, _COUNT) == [(1,)])
    await _until_settled(service)
    assert await contents(service) == []
    assert await contents(service, "kept") == [("begun", INTERRUPTED)]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(service, "new")


async def test_tool_calls_are_kept(service: Service, reads: Reads, database_url: str) -> None:
    """Tool calls are kept as far as they have arrived."""
    await create(service)
    await _cancel(
        reads,
        service,
        header(),
        tool_call(0, name="f", arguments='{"a": '),
        Piece(delta={"parts": [{"text": "p"}]}),
    )
    await until(lambda: execute(database_url, _COUNT) == [(1,)])
    (message,) = await stored(service)
    assert (message.tool_calls[0].arguments, message.parts[0].text) == ('{"a": ', "p")
    assert not message.HasField("content")


async def test_a_stream_without_a_finish(service: Service) -> None:
    """Without a finish, KEEP returns the message as INTERRUPTED; DROP or a lone header is an error."""
    await create(service)
    answer = await stream(service, header(history={}), text("a"))
    assert (answer.message.content, answer.message.status, answer.last_sequence) == ("a", INTERRUPTED, 1)
    assert [message.content for message in answer.history.messages] == ["a"]
    for pieces in ((header(message_id="n", on_break=DROP), text("b")), (header(message_id="n"),)):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await stream(service, *pieces)
        assert failure.violations == {"finish": "is required: the stream ended without one"}
        assert failure.metadata == {"kept": "false"}
    assert await contents(service) == [("a", INTERRUPTED)]


async def test_a_finish_can_say_that_it_was_interrupted(service: Service) -> None:
    """A finish may set INTERRUPTED, for a caller that stops the model."""
    await create(service)
    answer = await stream(service, header(), text("a"), finish(status=INTERRUPTED, token_count=5))
    assert (answer.message.status, answer.message.token_count) == (INTERRUPTED, 5)


async def test_nothing_after_the_finish_is_read(service: Service) -> None:
    """Pieces after the finish are not read."""
    await create(service)
    answer = await stream(service, header(), text("a"), finish(), text("\0"), header())
    assert (answer.message.content, answer.message.status) == ("a", COMPLETE)


@pytest.mark.parametrize("gone", ["deadline", "cancel"])
@pytest.mark.parametrize("on_break", [KEEP, DROP])
async def test_a_finish_is_no_break(service: Service, database_url: str, gone: str, on_break: int) -> None:
    """After the finish has arrived, the message is stored whole, even if the caller goes away."""
    await create(service)
    with locked(database_url):
        timeout = 2 if gone == "deadline" else None
        call = await begin(service, header(on_break=on_break), text("a"), finish(), timeout=timeout)
        await until(lambda: service.stores_streams)
        if gone == "cancel":
            call.cancel()
        expected = "DEADLINE_EXCEEDED" if gone == "deadline" else "CANCELLED"
        assert (await call.code()).name == expected
    await _until_settled(service)
    assert await contents(service) == [("a", COMPLETE)]


async def test_what_becomes_of_the_session_meanwhile(service: Service) -> None:
    """A stream to a session that was deleted, closed or went on is refused at the finish as a whole."""
    for session_id in ("deleted", "purged", "closed", "went on"):
        await create(service, session_id.replace(" ", "-"))
    streams = {
        name: await begin(service, header(name, expected_last_sequence=0), text("a"))
        for name in ("deleted", "purged", "closed", "went-on")
    }
    await call(service, "DeleteSession", "deleted")
    await call(service, "DeleteSession", "purged", purge=True)
    await update(service, "closed", status=spb.SESSION_STATUS_COMPLETED)
    await append(service, "went-on", said())
    expected = {
        "deleted": ("NOT_FOUND", "SESSION_NOT_FOUND"),
        "purged": ("NOT_FOUND", "SESSION_NOT_FOUND"),
        "closed": ("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"),
        "went-on": ("ABORTED", "SEQUENCE_MISMATCH"),
    }
    for name, open_stream in streams.items():
        await open_stream.write(finish())
        with fails(*expected[name]):
            await open_stream
    assert await contents(service, "closed") == []
    assert await contents(service, "went-on") == [("hello", COMPLETE)]


async def test_a_broken_stream_to_a_session_that_is_gone(service: Service) -> None:
    """A broken stream to a deleted session keeps nothing, and the error says so."""
    await create(service)
    broken = await begin(service, header(), text("a"))
    ended = await begin(service, header(message_id="m2"), text("a"))
    await call(service, "DeleteSession", "s")
    await broken.write(text("\0"))
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await broken
    assert failure.metadata == {"kept": "false"}
    await ended.done_writing()
    with fails("NOT_FOUND", "SESSION_NOT_FOUND") as failure:
        await ended
    assert failure.metadata == {"kept": "false", "session_id": "s"}
    await call(service, "UndeleteSession", "s")
    assert await contents(service) == []


async def test_a_silent_stream(serve: Serve, database_url: str) -> None:
    """A silent stream without a deadline ends after the idle time and is kept.

    With a deadline a stream may be silent.
    """
    service = await serve(database_url, stream_idle_seconds=0.2)
    await create(service)
    patient = await begin(service, header(message_id="patient"), text("a"), timeout=PATIENCE_SECONDS)
    silent = await begin(service, header(), text("a"))
    with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED") as failure:
        await silent
    assert failure.metadata == {"kept": "true"}
    assert failure.message == "the stream was silent for 0.2 seconds"
    await patient.write(finish())
    assert (await patient).message.content == "a"


async def test_the_default_deadline_is_for_what_the_server_does(serve: Serve, database_url: str) -> None:
    """The default deadline limits the append at the end of a stream, not the stream."""
    service = await serve(database_url, default_deadline_seconds=0.3)
    await create(service)
    late = await begin(service, header(), text("a"))
    with locked(database_url):
        await late.write(finish())
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await late
    await _until_settled(service)
    assert await contents(service) == [("a", COMPLETE)]
