"""What becomes of a stream that breaks: what its header says, and never half of both."""

from __future__ import annotations

import asyncio
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
    finish,
    header,
    stream,
    text,
    tool_call,
)

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.rpc.pieces import OpenStreams
from support.databases import execute
from support.errors import fails
from support.proxy import locked
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

_COUNT = "select count(*) from messages"
_CONSISTENT = """
select last_sequence >= coalesce(max(sequence), 0), message_count = count(sequence),
       sessions.total_tokens = coalesce(sum(token_count), 0),
       unpinned_tokens = coalesce(max(tokens_through), 0), unpinned_bytes = coalesce(max(bytes_through), 0)
from sessions left join messages using (session_key) group by sessions.session_key
"""


async def _said(service: Service, session_id: str = "s") -> list[tuple[str, int]]:
    return [(message.content, message.status) for message in await stored(service, session_id)]


async def _until_settled(service: Service) -> None:
    """Wait until no stream is open and nothing of one is under way."""
    await until(lambda: not service.awaits_pieces and not service.stores_streams)


class Reads:
    """How often the server has begun to wait for a piece."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        wait = OpenStreams.wait

        async def counted(
            streams: OpenStreams, awaitable: Awaitable[object], seconds: float | None
        ) -> object:
            self.begun += 1
            return await wait(streams, awaitable, seconds)

        monkeypatch.setattr(OpenStreams, "wait", counted)

    async def all(self, service: Service, *pieces: Piece, **options: float) -> Any:
        """Begin a stream, and wait until the server has read all and waits for more."""
        before = self.begun
        call = await begin(service, *pieces, **options)
        await until(lambda: self.begun == before + len(pieces) + 1)
        return call


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Counts what the server reads."""
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
    """With KEEP there is what had arrived, INTERRUPTED; with DROP there is nothing."""
    await create(service)
    for on_break, number in ((KEEP, 0), (DROP, 1), (0, 2)):
        first = header(message_id=f"m{number}", on_break=on_break)
        await BREAKS[how](reads, service, first, text("what had "), text("come"))
    await until(lambda: execute(database_url, _COUNT) == [(2,)])
    await _until_settled(service)
    assert await _said(service) == [("what had come", INTERRUPTED)] * 2
    assert [message.message_id for message in await stored(service)] == ["m0", "m2"]


@pytest.mark.parametrize("how", BREAKS)
async def test_of_a_header_alone_nothing_is_kept(
    service: Service, reads: Reads, database_url: str, how: str
) -> None:
    """Neither a message nor its session; unless the header has something to say itself."""
    await create(service)
    for empty in (header("new", create_session={}), header(message={"metadata": "{}", "content": ""})):
        await BREAKS[how](reads, service, empty)
    await BREAKS[how](reads, service, header("kept", create_session={}, message={"content": "begun"}))
    await until(lambda: execute(database_url, _COUNT) == [(1,)])
    await _until_settled(service)
    assert await _said(service) == []
    assert await _said(service, "kept") == [("begun", INTERRUPTED)]
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await get(service, "new")


async def test_tool_calls_are_kept(service: Service, reads: Reads, database_url: str) -> None:
    """As far as they came."""
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
    """With KEEP the answer is the message, INTERRUPTED; with DROP, and of a header alone, it is an error."""
    await create(service)
    answer = await stream(service, header(history={}), text("a"))
    assert (answer.message.content, answer.message.status, answer.last_sequence) == ("a", INTERRUPTED, 1)
    assert [message.content for message in answer.history.messages] == ["a"]
    for pieces in ((header(message_id="n", on_break=DROP), text("b")), (header(message_id="n"),)):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
            await stream(service, *pieces)
        assert failure.violations == {"finish": "is required: the stream ended without one"}
        assert failure.metadata == {"kept": "false"}
    assert await _said(service) == [("a", INTERRUPTED)]


async def test_a_finish_can_say_that_it_was_interrupted(service: Service) -> None:
    """Who stops the model ends the stream in order."""
    await create(service)
    answer = await stream(service, header(), text("a"), finish(status=INTERRUPTED, token_count=5))
    assert (answer.message.status, answer.message.token_count) == (INTERRUPTED, 5)


async def test_nothing_after_the_finish_is_read(service: Service) -> None:
    """Whatever it is."""
    await create(service)
    answer = await stream(service, header(), text("a"), finish(), text("\0"), header())
    assert (answer.message.content, answer.message.status) == ("a", COMPLETE)


@pytest.mark.parametrize("gone", ["deadline", "cancel"])
@pytest.mark.parametrize("on_break", [KEEP, DROP])
async def test_a_finish_is_no_break(service: Service, database_url: str, gone: str, on_break: int) -> None:
    """Once it has arrived the message is stored whole, whatever becomes of the caller."""
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
    assert await _said(service) == [("a", COMPLETE)]


async def test_what_becomes_of_the_session_meanwhile(service: Service) -> None:
    """A stream to a session that is deleted, closed, or went on, is refused at the finish, as a whole."""
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
    assert await _said(service, "closed") == []
    assert await _said(service, "went-on") == [("hello", COMPLETE)]


async def test_a_broken_stream_to_a_session_that_is_gone(service: Service) -> None:
    """Nothing is kept, and the caller is told so."""
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
    assert await _said(service) == []


async def test_two_streams_of_one_id(service: Service, database_url: str) -> None:
    """The same message is stored once and returned to both; another message of that id is refused."""
    await create(service)
    streams = [await begin(service, header(), text(said)) for said in ("a", "a", "b")]
    for one in streams:
        await one.write(finish())
    outcomes = [await one.code() for one in streams]
    assert sorted(code.name for code in outcomes) in (
        ["ALREADY_EXISTS", "OK", "OK"],
        ["ALREADY_EXISTS", "ALREADY_EXISTS", "OK"],
    )
    assert len(await stored(service)) == 1
    assert execute(database_url, _CONSISTENT) == [(True,) * 5]


async def test_a_retry_completes_what_was_interrupted(service: Service, database_url: str) -> None:
    """A finish takes the place of what was kept under its id, under a new sequence; a break does not."""
    await create(service)
    await append(service, "s", said("hi"))
    first = header(expected_last_sequence=1, history={})
    kept = (await stream(service, first, text("It is s"))).message
    assert (kept.sequence, kept.status) == (2, INTERRUPTED)
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It is sunny, I"))
    answer = await stream(service, first, text("It is sunny."), finish(usage={"output_tokens": 3}))
    assert (answer.message.sequence, answer.message.status, answer.last_sequence) == (3, COMPLETE, 3)
    assert (answer.message_count, answer.session_created) == (2, False)
    assert [message.content for message in answer.history.messages] == ["hi", "It is sunny."]
    assert await _said(service) == [("hi", COMPLETE), ("It is sunny.", COMPLETE)]
    assert execute(database_url, _CONSISTENT) == [(True,) * 5]
    again = await stream(service, first, text("It is sunny."), finish(usage={"output_tokens": 3}))
    assert again.message == answer.message
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It rains."), finish())
    with fails("ALREADY_EXISTS", "MESSAGE_ID_REUSED"):
        await stream(service, first, text("It is s"))


async def test_an_interrupted_message_that_was_pinned(service: Service, database_url: str) -> None:
    """The counters stay right, whatever the two weigh."""
    await create(service)
    await append(service, "s", *[mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True)] * 63)
    await stream(service, header(message={"pinned": True}), text("a fact"))
    answer = await stream(
        service, header(message={"pinned": True}), text("a whole fact"), finish(token_count=50)
    )
    assert (answer.message_count, answer.total_tokens, answer.last_sequence) == (64, 50, 65)
    assert execute(database_url, "select pinned_count, unpinned_tokens from sessions") == [(64, 0)]
    with fails("FAILED_PRECONDITION", "TOO_MANY_PINNED"):
        await append(service, "s", mpb.Message(role=mpb.ROLE_SYSTEM, pinned=True))


async def test_what_is_interrupted_stays_where_it_cannot_be_completed(service: Service) -> None:
    """Where another message has followed, the session is closed, or another sequence is expected."""
    await create(service)
    for name, fields in (("followed", {}), ("closed", {}), ("elsewhere", {"expected_last_sequence": 1})):
        await stream(service, header(name, create_session={}), text("a"))
        if name == "followed":
            await append(service, name, said("next"))
        if name == "closed":
            await update(service, name, status=spb.SESSION_STATUS_ABANDONED)
        closed = ("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE")
        with fails(*(closed if name == "closed" else ("ALREADY_EXISTS", "MESSAGE_ID_REUSED"))):
            await stream(service, header(name, **fields), text("ab"), finish())
        assert (await _said(service, name))[0] == ("a", INTERRUPTED)


async def test_a_completion_that_races_the_next_message(service: Service, database_url: str) -> None:
    """Either it comes first, or it is refused: nothing is lost, and the counters are right."""
    for number in range(8):
        name = f"s{number}"
        await stream(service, header(name, create_session={}), text("a"))
        results = await asyncio.gather(
            stream(service, header(name), text("ab"), finish()),
            append(service, name, said("next", message_id="next")),
            return_exceptions=True,
        )
        contents = [message.content for message in await stored(service, name)]
        completed = not isinstance(results[0], BaseException)
        assert contents == (["ab", "next"] if completed else ["a", "next"])
    assert execute(database_url, _CONSISTENT) == [(True,) * 5] * 8


async def test_a_silent_stream(serve: Serve, database_url: str) -> None:
    """Without a deadline it ends after some time, and is kept; with one it may be silent."""
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
    """A stream may last longer, but its append may not."""
    service = await serve(database_url, default_deadline_seconds=0.3)
    await create(service)
    late = await begin(service, header(), text("a"))
    with locked(database_url):
        await late.write(finish())
        with fails("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"):
            await late
    await _until_settled(service)
    assert await _said(service) == [("a", COMPLETE)]
