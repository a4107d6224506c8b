"""The refusals of a stream: by its header, by a piece, by a rule of gRPC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from rpc_support import SERVICE_PATH, call, create, fresh_id, nested, stored, update
from stream_support import (
    COMPLETE,
    DROP,
    INTERRUPTED,
    Piece,
    finish,
    header,
    stream,
    text,
    tool_call,
    whole,
)

from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_history_service_pb2_grpc as pb_grpc
from sessionhistory.v1 import session_pb2 as spb
from sessionhistory_server.limits import MAX_MESSAGE_BYTES, MIB
from support.errors import fails, failure_of
from support.service import connect_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


async def test_the_header_is_answered_at_once(service: Service) -> None:
    """A missing, foreign or inactive session ends the stream before its first delta."""
    await create(service, user_id="u")
    for session_id, user_id in (("none", ""), ("s", "v")):
        with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
            await _refused_early(service, header(session_id, user_id=user_id))
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):  # another user has the id
        await _refused_early(service, header(user_id="v", new_session={}))
    with fails("ABORTED", "SEQUENCE_MISMATCH") as failure:
        await _refused_early(service, header(expected_last_sequence=3))
    assert failure.metadata["actual_last_sequence"] == "0"
    with fails("ABORTED", "SEQUENCE_MISMATCH"):
        await _refused_early(service, header("new", new_session={}, expected_last_sequence=1))
    await update(service, "s", status=spb.SESSION_STATUS_COMPLETED)
    with fails("FAILED_PRECONDITION", "SESSION_NOT_ACTIVE"):
        await _refused_early(service, header())
    await call(service, "DeleteSession", "s")
    with fails("NOT_FOUND", "SESSION_NOT_FOUND"):
        await _refused_early(service, header())


async def _refused_early(service: Service, first: Piece) -> None:
    """Send a header and nothing else, and wait for the answer."""
    call = service.stub.AppendMessageStream()
    await call.write(first)
    await call


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "header.session_id": {"session_id": "a b"},
    "header.user_id": {"user_id": "u" * 257},
    "header.message.message_id": {"message": {"message_id": "a b"}},
    "header.message.role": {"message": {"role": 99}},
    "header.message.content": {"message": {"content": "\0"}},
    "header.message.metadata": {"message": {"metadata": "[]"}},
    "header.message.pinned": {"message": {"pinned": True, "tool_calls": [{"name": "f"}]}},
    "header.message": {"message": {"payload": bytes(MIB)}},
    "header.new_session.title": {"new_session": {"title": "t" * 501}},
    "header.new_session.status": {"new_session": {"status": spb.SESSION_STATUS_COMPLETED}},
    "header.expected_last_sequence": {"expected_last_sequence": -1},
    "header.history.max_messages": {"history": {"max_messages": -1}},
    "header.on_break": {"on_break": 3},
}


@pytest.mark.parametrize("path", BAD_HEADERS)
async def test_a_header_that_breaks_a_rule(shared: Service, path: str) -> None:
    """An invalid header is refused at once, with the field's path."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await _refused_early(shared, header(**BAD_HEADERS[path]))
    assert list(failure.violations) == [path]


async def test_a_server_can_require_the_user(serve: Serve, database_url: str) -> None:
    """With require_user_id a header without one is refused."""
    strict = await serve(database_url, require_user_id=True)
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream(strict, header(new_session={}), finish())
    assert list(failure.violations) == ["header.user_id"]
    await stream(strict, header(user_id="u", new_session={}), finish())


@pytest.mark.parametrize("pieces", [(), (text("a"),), (finish(),), (Piece(),)])
async def test_a_stream_begins_with_a_header(shared: Service, pieces: tuple[Piece, ...]) -> None:
    """A stream that is empty, or does not begin with a header, is refused."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream(shared, *pieces)
    assert failure.violations == {"header": "is required as the first piece"}


BAD_PIECES: dict[str, Piece] = {
    "header": header(),
    "piece": Piece(),
    "delta.text": text("a\0"),
    "delta.tool_calls[0].index": tool_call(2, name="f"),
    "delta.tool_calls[0].name": tool_call(1, arguments="{}"),
    "delta.tool_calls[1].index": Piece(
        delta={"tool_calls": [{"index": 0, "arguments": "x"}, {"index": -1, "name": "f"}]}
    ),
    "delta.tool_calls[0].id": tool_call(0, id="i" * 8_193),
    "delta.tool_calls[0].arguments": tool_call(0, arguments="\0"),
    "delta.parts[1].json": Piece(delta={"parts": [{"text": ""}, {"json": nested(101)}]}),
    "delta.parts[0]": Piece(delta={"parts": [{}]}),
    "delta.parts[0].reasoning": Piece(delta={"parts": [{"reasoning": {"signature": "s"}}]}),
    "delta.parts[1].reasoning.opaque": Piece(
        delta={"parts": [{"text": ""}, {"reasoning": {"opaque": "\0"}}]}
    ),
    "delta.parts": Piece(delta={"parts": [{"text": ""}] * 257}),
    "delta.tool_calls": Piece(delta={"tool_calls": [{"index": 0}] * 129}),
    "delta": Piece(delta={"text": "x" * MAX_MESSAGE_BYTES, "parts": [{"json": "no JSON"}]}),
    "finish.token_count": finish(token_count=-1),
    "finish.metadata": finish(metadata="1"),
    "finish.usage": finish(usage={}),
    "finish.status": finish(status=9),
    "finish.payload_type": finish(payload_type="t" * 257),
    "finish.finish_reason": finish(finish_reason="r" * 257),
    "finish": finish(payload=bytes(MIB)),
}


@pytest.mark.parametrize("on_break", [0, DROP])
@pytest.mark.parametrize("path", BAD_PIECES)
async def test_a_piece_that_breaks_a_rule(shared: Service, path: str, on_break: int) -> None:
    """An invalid piece breaks the stream with the field's path; the beginning is kept or dropped."""
    session_id = fresh_id()
    await create(shared, session_id)
    first = header(session_id, on_break=on_break)
    pieces = (first, text("before"), tool_call(0, name="f", arguments="1"), BAD_PIECES[path], finish())
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream(shared, *pieces)
    assert list(failure.violations) == [path]
    assert failure.metadata["kept"] == ("false" if on_break else "true")
    kept = [(m.content, m.tool_calls[0].arguments, m.status) for m in await stored(shared, session_id)]
    assert kept == ([] if on_break else [("before", "1", INTERRUPTED)])


async def test_more_calls_and_parts_than_a_message_has(shared: Service) -> None:
    """The limits apply to the header and all deltas together."""
    message = {"tool_calls": [{"name": "f"}] * 100, "parts": [{"text": ""}] * 200}
    many = {"tool_calls": [{"index": 100 + i, "name": "f"} for i in range(28)], "parts": [{"text": ""}] * 56}
    first = header(fresh_id(), message=message, new_session={})
    answer = await stream(shared, first, Piece(delta=many), finish())
    assert (len(answer.message.tool_calls), len(answer.message.parts)) == (128, 256)
    for more in (tool_call(128, name="f"), Piece(delta={"parts": [{"text": ""}]})):
        with fails("INVALID_ARGUMENT", "INVALID_FIELD"):
            await stream(shared, header(fresh_id(), message=message, new_session={}), Piece(delta=many), more)


async def test_a_pinned_message_gets_no_tool_calls(shared: Service) -> None:
    """A tool call in a stream with a pinned header is refused."""
    first = header(fresh_id(), message={"pinned": True}, new_session={})
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream(shared, first, tool_call(0, name="f"), finish())
    assert list(failure.violations) == ["delta.tool_calls"]


@pytest.mark.parametrize("split", [1, 3, 2_000])
async def test_a_message_of_the_largest_size(shared: Service, split: int) -> None:
    """1,048,575 bytes in any pieces are accepted; a further byte is refused on arrival.

    The beginning is kept.
    """
    message = whole([header()])
    message.status = COMPLETE
    message.content = "x"
    message.content = "x" * (MAX_MESSAGE_BYTES - message.ByteSize() + 1 - 2)
    assert message.ByteSize() == MAX_MESSAGE_BYTES
    step = -(-len(message.content) // split)
    texts = [text(message.content[i : i + step]) for i in range(0, len(message.content), step)]
    answer = await stream(shared, header(one := fresh_id(), new_session={}), *texts, finish())
    assert answer.message.content == message.content
    assert answer.session_id == one
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await stream(shared, header(two := fresh_id(), new_session={}), *texts, text("x"), finish())
    assert list(failure.violations) == ["delta"]
    (kept,) = await stored(shared, two)
    assert (kept.content, kept.status) == (message.content, INTERRUPTED)


MALFORMED = {
    "no message": (b"\xff", "MALFORMED_REQUEST"),
    "truncated": (text("hello").SerializeToString()[:-1], "MALFORMED_REQUEST"),
    "half a character": (
        text("é").SerializeToString().replace(b"\xc3\xa9", b"\xc3\xc3"),
        "MALFORMED_REQUEST",
    ),
    "too large": (text("x" * 4 * MIB).SerializeToString(), "REQUEST_TOO_LARGE"),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("what", MALFORMED)
async def test_bytes_that_are_no_piece(shared: Service, what: str, place: int) -> None:
    """Bytes that are not a piece are INVALID_ARGUMENT with a reason, first or later, and break the stream."""
    session_id = fresh_id()
    await create(shared, session_id)
    data, reason = MALFORMED[what]
    raw: Any = shared.channel
    pieces = [header(session_id).SerializeToString(), text("kept").SerializeToString()][: place * 2]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw.stream_unary(f"{SERVICE_PATH}/AppendMessageStream")(iter([*pieces, data]))
    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [m.content for m in await stored(shared, session_id)] == ["kept"] * place


async def test_a_piece_above_grpcs_own_limit(service: Service) -> None:
    """A piece above 8 MiB is refused by gRPC itself, which breaks the stream."""
    await create(service)
    pieces = (header(), text("kept"), text("x" * 9 * MIB), finish())
    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(_stream_for_threads, service, *pieces)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _stream_for_threads(service: Service, *pieces: Piece) -> None:
    """Send pieces with gRPC's client for threads.

    gRPC's asyncio client reports INTERNAL instead of the service's code if the answer comes while it writes.
    """
    with connect_thread(service.address) as channel:
        pb_grpc.SessionHistoryServiceStub(channel).AppendMessageStream(iter(pieces))


async def test_an_answer_to_a_wrong_request_is_the_same_everywhere(service: Service) -> None:
    """A unary request to the method is treated as a stream of one piece."""
    with fails("INVALID_ARGUMENT", "INVALID_FIELD") as failure:
        await service.channel.unary_unary(f"{SERVICE_PATH}/AppendMessageStream")(  # type: ignore[call-overload]
            pb.GetSessionRequest().SerializeToString()
        )
    assert list(failure.violations) == ["header"]
