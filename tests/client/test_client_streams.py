"""Messages that are stored while they are written."""
# ruff: noqa: PT012 - it is a block that fails

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from client_samples import JSON, fresh_id

from sessionhistory import (
    HistoryOptions,
    JsonPart,
    Message,
    MessageStatus,
    OnBreak,
    Role,
    Session,
    TextPart,
    ToolCall,
    Usage,
)
from sessionhistory.errors import (
    DeadlineExceededError,
    InvalidFieldError,
    MessageIdReusedError,
    SequenceMismatchError,
    SessionNotFoundError,
    UnavailableError,
)
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]

COMPLETE, INTERRUPTED = MessageStatus.COMPLETE, MessageStatus.INTERRUPTED


async def _stored(client: Client, session_id: str) -> list[tuple[str | None, MessageStatus]]:
    return [(message.content, message.status) async for message in client.list_messages(session_id)]


@pytest.fixture
async def session_id(client: Client) -> str:
    """A session without messages."""
    return (await client.create_session(Session())).session.session_id


async def test_a_message_is_stored_as_it_was_written(client: Client, session_id: str) -> None:
    """With all that was written to it, and what was said at its beginning and end."""
    begun = Message(
        role=Role.ASSISTANT, content="Zü", model="m", metadata=JSON, tool_calls=(ToolCall(name="f"),)
    )
    async with client.append_message_stream(session_id, begun, history=HistoryOptions()) as stream:
        await stream.write("rich ")
        await stream.write_arguments(0, "{")
        index = await stream.call_tool("g", "[", id="c")
        await stream.add_part(TextPart("p"))
        await stream.write_arguments(index, "]")
        await stream.write_arguments(0, "}")
        await stream.write("👩‍👩‍👧")
        await stream.add_part(JsonPart(JSON))
        result = await stream.finish(
            usage=Usage(output_tokens=5), token_count=7, payload=b"\0", payload_type="t", metadata={"a": 1}
        )
    assert stream.result is result
    message = result.message
    assert (message.content, message.message_id) == ("Zürich 👩‍👩‍👧", begun.message_id)
    assert message.tool_calls == (
        ToolCall(name="f", arguments="{}"),
        ToolCall(name="g", arguments="[]", id="c"),
    )
    assert message.parts == (TextPart("p"), JsonPart(JSON))
    assert (message.usage, message.token_count, message.metadata) == (Usage(output_tokens=5), 7, {"a": 1})
    assert (message.payload, message.payload_type, message.model) == (b"\0", "t", "m")
    assert message.status is COMPLETE
    assert result.history is not None
    assert result.history.messages == (message,)
    assert await client.get_message(session_id, sequence=1) == message


async def test_the_end_of_the_block_is_the_messages(client: Client) -> None:
    """Nothing has to be said: it is the assistant's, and finished."""
    async with client.append_message_stream(session_id := fresh_id(), create_session=Session()) as stream:
        await stream.write("hello")
    assert stream.result is not None
    assert stream.result.session_created
    assert (stream.result.message.role, stream.result.message.content) == (Role.ASSISTANT, "hello")
    assert stream.result.message.message_id == stream.message_id
    assert await _stored(client, session_id) == [("hello", COMPLETE)]


async def test_a_beginning_that_is_refused(client: Client, session_id: str) -> None:
    """It is raised where the block begins."""
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
    """All that was written is kept, or dropped; the failure goes on."""
    with pytest.raises(ZeroDivisionError):
        async with client.append_message_stream(session_id, on_break=on_break) as stream:
            for word in ("what ", "was ", "written"):
                await stream.write(word)
            raise ZeroDivisionError
    assert stream.result is None
    kept = [("what was written", INTERRUPTED)]
    assert await _stored(client, session_id) == ([] if on_break is OnBreak.DROP else kept)


async def test_a_stream_that_is_stopped(client: Client, session_id: str) -> None:
    """Who stops the model finishes the message as interrupted, and is answered."""
    async with client.append_message_stream(session_id) as stream:
        await stream.write("so far")
        await stream.finish(status=INTERRUPTED)
    assert await _stored(client, session_id) == [("so far", INTERRUPTED)]


async def test_a_block_that_is_cancelled(connect_twin: Callable[..., Client], shared: Service) -> None:
    """A task that is cancelled ends as such, and what was written is kept."""
    client = connect_twin("asyncio", shared.address)
    session_id, waiting = fresh_id(), asyncio.Event()

    async def talk() -> None:
        async with client.append_message_stream(session_id, create_session=Session()) as stream:
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
    """What cannot be sent is refused here; what the service refuses is raised by a later step."""
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
    """Before it, after it, and after a finish it is not open."""
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
    """The same message again is the stored one; what was interrupted is completed; another is refused."""
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


@pytest.mark.parametrize("grace_seconds", [0, 0.5])
async def test_a_server_that_stops_meanwhile(
    connect: Callable[..., Client], serve: Serve, database_url: str, grace_seconds: float
) -> None:
    """Writing goes on, and the finish sends the whole message to another server: it is stored once."""
    services = [await serve(database_url, grace_seconds=grace_seconds) for _ in range(2)]
    target = f"ipv4:{','.join(service.address for service in services)}"
    client = connect(target, timeout_seconds=PATIENCE_SECONDS)
    message = Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="f", arguments="{"),))
    async with client.append_message_stream("s", message, create_session=Session()) as stream:
        await stream.write("before ")
        index = await stream.call_tool("g", "[")
        streams = [service.app._open_streams for service in services]  # noqa: SLF001
        await until(lambda: any(each._waiting for each in streams))  # noqa: SLF001
        (serving,) = (i for i, each in enumerate(streams) if each._waiting)  # noqa: SLF001
        await services[serving].app.stop()
        for word in ("and ", "after"):
            await stream.write(word)
        await stream.write_arguments(index, "]")
        await stream.write_arguments(0, "}")
        await stream.add_part(TextPart("p"))
    (stored,) = [message async for message in client.list_messages("s")]
    assert stream.result is not None
    assert stored == stream.result.message
    assert (stored.content, stored.status) == ("before and after", COMPLETE)
    assert [call.arguments for call in stored.tool_calls] == ["{}", "[]"]
    assert stored.parts == (TextPart("p"),)


async def test_a_service_that_stays_away(
    connect: Callable[..., Client], serve: Serve, database_url: str
) -> None:
    """The finish looks for it as every call does, and fails as every call does."""
    service = await serve(database_url, grace_seconds=0)
    client = connect(service.address, timeout_seconds=1)
    with pytest.raises((UnavailableError, DeadlineExceededError)):
        async with client.append_message_stream("s", create_session=Session()) as stream:
            await stream.write("hello")
            await service.app.stop()


async def test_a_closed_client(connect: Callable[..., Client], shared: Service) -> None:
    """It opens no stream, and ends those that are open."""
    client = connect(shared.address)
    with pytest.raises(RuntimeError, match="the client is closed"):
        async with client.append_message_stream(fresh_id(), create_session=Session()) as stream:
            await stream.write("a")
            await client.close()
            for _ in range(10_000):
                await stream.write("b")
    with pytest.raises(RuntimeError, match="the client is closed"):
        async with client.append_message_stream("s"):
            pytest.fail("the block was entered")


class _Deaf(grpc.GenericRpcHandler):  # type: ignore[misc] # has no types
    """A service that takes the first request, or nothing at all."""

    def __init__(self, *, accepts: bool) -> None:
        self._accepts = accepts
        self.calls = 0

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.stream_unary_rpc_method_handler(self._listen)

    async def _listen(self, _: object, context: Any) -> None:  # noqa: ANN401
        self.calls += 1
        await context.read()
        if self._accepts:
            await context.send_initial_metadata((("x-request-id", "1"),))
        await asyncio.Event().wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen on a free port."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield address
        finally:
            await server.stop(None)


async def test_a_service_that_does_not_answer(connect: Callable[..., Client]) -> None:
    """Opening and finishing take as long as they may, and not longer."""
    for accepts in (False, True):
        deaf = _Deaf(accepts=accepts)
        async with deaf.running() as address:
            client = connect(address, timeout_seconds=0.3)
            with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.3 seconds"):
                async with client.append_message_stream("s"):
                    assert accepts
            await until(lambda deaf=deaf: deaf.calls == 1)


async def test_a_service_that_does_not_read(connect: Callable[..., Client]) -> None:
    """A write waits for room: what is on the way is bounded."""
    async with _Deaf(accepts=True).running() as address:
        client = connect(address, timeout_seconds=0.5)
        written = 0
        with pytest.raises(DeadlineExceededError):
            async with client.append_message_stream("s") as stream:
                while written < 1_000:
                    await stream.write("x" * 100_000)
                    written += 1
        assert written < 200
