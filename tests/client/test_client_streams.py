"""Messages that are stored while they are written."""
# ruff: noqa: PT012 - it is a block that fails

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from client_samples import JSON, fresh_id

from sessionhistory import (
    HistoryOptions,
    JsonPart,
    Message,
    MessageStatus,
    OnBreak,
    ReasoningPart,
    Role,
    SessionFields,
    TextPart,
    ToolCall,
    Usage,
)
from sessionhistory.errors import (
    InvalidFieldError,
    MessageIdReusedError,
    SequenceMismatchError,
    SessionNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

COMPLETE, INTERRUPTED = MessageStatus.COMPLETE, MessageStatus.INTERRUPTED


async def _stored(client: Client, session_id: str) -> list[tuple[str | None, MessageStatus]]:
    return [(message.content, message.status) async for message in client.list_messages(session_id)]


@pytest.fixture
async def session_id(client: Client) -> str:
    """A session without messages."""
    return (await client.create_session()).session.session_id


async def test_a_message_is_stored_as_it_was_written(client: Client, session_id: str) -> None:
    """The message has everything that was written, and the fields of its beginning and its end."""
    begun = Message(
        role=Role.ASSISTANT, content="Zü", model="m", metadata=JSON, tool_calls=(ToolCall(name="f"),)
    )
    async with client.append_message_stream(session_id, begun, history=HistoryOptions()) as stream:
        await stream.write("rich ")
        await stream.write_arguments(0, "{")
        index = await stream.call_tool("g", "[", id="c")
        await stream.add_part(TextPart("p"))
        await stream.add_part(ReasoningPart("because", signature="s"))
        await stream.write_arguments(index, "]")
        await stream.write_arguments(0, "}")
        await stream.write("👩‍👩‍👧")
        await stream.add_part(JsonPart(JSON))
        result = await stream.finish(
            usage=Usage(output_tokens=5),
            token_count=7,
            payload=b"\0",
            payload_type="t",
            metadata={"a": 1},
            finish_reason="end_turn",
        )
    assert stream.result is result
    message = result.message
    assert (message.content, message.message_id) == ("Zürich 👩‍👩‍👧", begun.message_id)
    assert message.tool_calls == (
        ToolCall(name="f", arguments="{}"),
        ToolCall(name="g", arguments="[]", id="c"),
    )
    assert message.parts == (TextPart("p"), ReasoningPart("because", signature="s"), JsonPart(JSON))
    assert (message.usage, message.token_count, message.metadata) == (Usage(output_tokens=5), 7, {"a": 1})
    assert (message.payload, message.payload_type, message.model) == (b"\0", "t", "m")
    assert (message.status, message.finish_reason) == (COMPLETE, "end_turn")
    assert result.history is not None
    assert result.history.messages == (message,)
    assert await client.get_message(session_id, sequence=1) == message


async def test_the_end_of_the_block_is_the_messages(client: Client) -> None:
    """By default a message is the assistant's, and the end of the block finishes it."""
    async with client.append_message_stream(session_id := fresh_id(), new_session=SessionFields()) as stream:
        await stream.write("hello")
    assert stream.result is not None
    assert stream.result.session_created
    assert (stream.result.message.role, stream.result.message.content) == (Role.ASSISTANT, "hello")
    assert stream.result.message.message_id == stream.message_id
    assert await _stored(client, session_id) == [("hello", COMPLETE)]


async def test_a_beginning_that_is_refused(client: Client, session_id: str) -> None:
    """A refusal of the header is raised where the block begins."""
    refused = {
        SessionNotFoundError: client.append_message_stream("missing"),
        SequenceMismatchError: client.append_message_stream(session_id, expected_last_sequence=5),
        InvalidFieldError: client.append_message_stream(session_id, Message(role=Role.USER, name="n" * 257)),
    }
    for kind, stream in refused.items():
        with pytest.raises(kind) as caught:
            async with stream:
                pytest.fail("the block was entered")
        assert caught.value.request_id
    with pytest.raises(InvalidFieldError, match=r"header\.on_break: must be one of keep, drop"):
        client.append_message_stream(session_id, on_break="keep it")  # type: ignore[arg-type]
    with pytest.raises(InvalidFieldError, match="user_id: must not be empty"):
        client.append_message_stream(session_id, user_id="")


@pytest.mark.parametrize("on_break", OnBreak)
async def test_a_block_that_fails(client: Client, session_id: str, on_break: OnBreak) -> None:
    """If the block fails, the written text is kept or dropped; the error is raised."""
    with pytest.raises(ZeroDivisionError):
        async with client.append_message_stream(session_id, on_break=on_break) as stream:
            for word in ("what ", "was ", "written"):
                await stream.write(word)
            raise ZeroDivisionError
    assert stream.result is None
    kept = [("what was written", INTERRUPTED)]
    assert await _stored(client, session_id) == ([] if on_break is OnBreak.DROP else kept)


async def test_a_stream_that_is_stopped(client: Client, session_id: str) -> None:
    """A caller that stops the model finishes the message as interrupted, and gets an answer."""
    async with client.append_message_stream(session_id) as stream:
        await stream.write("so far")
        await stream.finish(status=INTERRUPTED)
    assert await _stored(client, session_id) == [("so far", INTERRUPTED)]


async def test_a_block_that_is_cancelled(connect_twin: Callable[..., Client], shared: Service) -> None:
    """If the block's task is cancelled, the cancellation is raised and the written text is kept."""
    client = connect_twin("asyncio", shared.address)
    session_id, waiting = fresh_id(), asyncio.Event()

    async def talk() -> None:
        async with client.append_message_stream(session_id, new_session=SessionFields()) as stream:
            await stream.write("said")
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(talk())
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await _stored(client, session_id) == [("said", INTERRUPTED)]


async def test_what_cannot_be_written(client: Client, session_id: str) -> None:
    """The client refuses invalid values at once; a refusal of the service is raised by a later step."""
    with pytest.raises(InvalidFieldError, match=r"delta\.text: must be valid Unicode"):
        async with client.append_message_stream(session_id) as stream:
            await stream.write("kept")
            await stream.write("\ud800")
    with pytest.raises(InvalidFieldError, match="must be that of a call that has begun"):
        async with client.append_message_stream(session_id) as stream:
            await stream.write_arguments(0, "{}")
    with pytest.raises(InvalidFieldError, match=r"delta\.text: must not contain a NUL") as caught:
        async with client.append_message_stream(session_id) as stream:
            await stream.write("kept, too")
            await stream.write("\0")
            await stream.write("never seen")
    assert caught.value.metadata == {"kept": "true"}
    assert await _stored(client, session_id) == [("kept", INTERRUPTED), ("kept, too", INTERRUPTED)]


async def test_a_stream_is_used_in_its_block(client: Client, session_id: str) -> None:
    """A stream is not open before its block, after it, and after a finish."""
    stream = client.append_message_stream(session_id)
    with pytest.raises(RuntimeError, match="the stream is not open"):
        await stream.write("early")
    async with stream:
        await stream.write("in time")
        await stream.finish()
        with pytest.raises(RuntimeError, match="the stream is not open"):
            await stream.write("late")
        with pytest.raises(RuntimeError, match="the stream is not open"):
            await stream.finish()
    assert await _stored(client, session_id) == [("in time", COMPLETE)]


async def test_a_message_is_streamed_again(client: Client, session_id: str) -> None:
    """The same message again is the stored one; an interrupted one is completed; another is refused."""
    message = Message(role=Role.ASSISTANT)
    with pytest.raises(ZeroDivisionError):
        async with client.append_message_stream(session_id, message) as stream:
            await stream.write("It is s")
            raise ZeroDivisionError
    for _ in range(2):
        async with client.append_message_stream(session_id, message) as stream:
            await stream.write("It is sunny.")
        assert stream.result is not None
        assert stream.result.message.sequence == 2
    with pytest.raises(MessageIdReusedError):
        async with client.append_message_stream(session_id, message) as stream:
            await stream.write("It rains.")
    assert await _stored(client, session_id) == [("It is sunny.", COMPLETE)]
