"""AppendMessageStream: the messages that it stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpc_support import call, create, get, said, stored, update
from stream_support import COMPLETE, Piece, begin, finish, header, stream, text, tool_call, whole

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from support.service import Service

RICH = {
    "name": "näme",
    "model": "m",
    "provider": "p",
    "turn_id": "t",
    "metadata": '{"a": 1.0}',
    "parts": [{"text": "x"}],
    "finish_reason": "unknown",
    "send_time": {"seconds": 5},
}
TALK = (
    text("Hé"),
    text(""),
    text("l\u0301"),
    tool_call(0, id="c1", name="f", arguments='{"a'),
    Piece(delta={"tool_calls": [{"index": 1, "name": "g"}, {"index": 0, "arguments": '": 1'}]}),
    text("👩‍"),
    text("👩"),
    tool_call(1, id="c2", arguments="[]"),
    tool_call(0, arguments="}"),
    Piece(delta={"text": "!", "parts": [{"json": "[1]"}, {"media": {"data": b"\0\xff"}}]}),
    Piece(
        delta={
            "parts": [{"reasoning": {"text": "Hm, ", "signature": "s"}}, {"reasoning": {"opaque": "AbC="}}]
        }
    ),
)


async def test_a_stream_is_stored_as_one_message(service: Service) -> None:
    """Header, deltas and finish store and return the message that AppendMessage would have stored."""
    pieces = [header(message=RICH, user_id="u", new_session={}), *TALK]
    end = {"usage": {"output_tokens": 7}, "token_count": 9, "metadata": '{"b": 2}', "payload": b"\0"}
    end |= {"payload_type": "x/y", "finish_reason": "tool_use"}
    answer = await stream(service, *pieces, finish(**end))
    expected = whole(pieces)
    expected.MergeFrom(mpb.Message(**end))
    assert (answer.session_id, answer.session_created, answer.last_sequence) == ("s", True, 1)
    assert (answer.message_count, answer.total_tokens) == (1, 9)
    expected.status = COMPLETE
    expected.sequence = 1
    expected.create_time.CopyFrom(answer.message.create_time)
    assert answer.message == expected
    assert await stored(service) == [expected]
    assert (await get(service)).user_id == "u"


async def test_a_stream_is_the_same_message_as_an_append(service: Service) -> None:
    """AppendMessage and a stream are retries of each other, and return the stored message."""
    await create(service)
    pieces = [header(message=RICH), *TALK]
    streamed = await stream(service, *pieces, finish())
    again = await call(service, "AppendMessage", "s", message=whole(pieces))
    assert again.message == streamed.message
    appended = await call(service, "AppendMessage", "s", message=said("hello", message_id="n"))
    again = await stream(service, header(message_id="n", message={"role": 3}), text("hello"), finish())
    assert again.message == appended.message
    assert (await get(service)).last_sequence == 2


async def test_what_is_not_said_has_defaults(service: Service) -> None:
    """Without a role a message is an ASSISTANT's; the server makes ids; without text the content is null."""
    await create(service)
    for deltas, content in (([], None), ([text("")], "")):
        made = Piece(header={"session_id": "s"})
        message = (await stream(service, made, *deltas, finish())).message
        assert (message.role, message.status) == (mpb.ROLE_ASSISTANT, COMPLETE)
        assert len(message.message_id) == 32
        assert (message.content if message.HasField("content") else None) == content
    answer = await stream(service, Piece(header={"new_session": {}}), finish())
    assert len(answer.session_id) == 32
    assert answer.session_created


async def test_the_sequence_is_taken_at_the_finish(service: Service) -> None:
    """A stream takes its sequence at the finish: appends come before it, and reads do not see it earlier."""
    await create(service)
    first = await begin(service, header(message_id="first"), text("a"))
    second = await begin(service, header(message_id="second"), text("b"))
    await call(service, "AppendMessage", "s", message=said("between", message_id="between"))
    await second.write(finish())
    assert (await second).message.sequence == 2
    assert [message.message_id for message in await stored(service)] == ["between", "second"]
    await first.write(finish())
    assert (await first).message.sequence == 3


async def test_a_window_and_a_title(service: Service) -> None:
    """The answer has the window if asked for; a user's stream gives the session its title."""
    await create(service)
    await stream(service, header(message={"role": mpb.ROLE_USER}), text("Rome "), text("in May"), finish())
    assert (await get(service)).title == "Rome in May"
    answer = await stream(service, header(message_id="n", history={"max_messages": 1}), text("a"), finish())
    assert [message.message_id for message in answer.history.messages] == ["n"]
    assert answer.history.omitted_message_count == 1


async def test_a_retry_of_what_is_stored_is_not_refused_early(service: Service) -> None:
    """A retry returns the stored message, whatever the session's present status and sequence."""
    await create(service)
    pieces = (header(expected_last_sequence=0), text("a"), finish())
    first = await stream(service, *pieces)
    assert (await stream(service, *pieces)).message == first.message
    await update(service, "s", status=spb.SESSION_STATUS_COMPLETED)
    assert (await stream(service, *pieces)).message == first.message
