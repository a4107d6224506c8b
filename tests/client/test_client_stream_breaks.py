"""Streams of a client when the service is lost, slow or silent."""
# ruff: noqa: PT012 - it is a block that fails

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from client_samples import fresh_id
from deaf_service import Deaf
from grpc._cython import cygrpc

from sessionhistory import Message, MessageStatus, Role, SessionFields, TextPart, ToolCall
from sessionhistory.errors import DeadlineExceededError, UnavailableError
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


@pytest.mark.parametrize("grace_seconds", [0, 0.5])
async def test_a_server_that_stops_meanwhile(
    connect: Callable[..., Client], serve: Serve, database_url: str, grace_seconds: float
) -> None:
    """Writing goes on, and the finish sends the whole message to another server, which stores it once."""
    services = [await serve(database_url, grace_seconds=grace_seconds) for _ in range(2)]
    target = f"ipv4:{','.join(service.address for service in services)}"
    client = connect(target, timeout_seconds=PATIENCE_SECONDS)
    message = Message(role=Role.ASSISTANT, tool_calls=(ToolCall(name="f", arguments="{"),))
    async with client.append_message_stream("s", message, new_session=SessionFields()) as stream:
        await stream.write("before ")
        index = await stream.call_tool("g", "[")
        await until(lambda: any(service.awaits_pieces for service in services))
        (serving,) = (service for service in services if service.awaits_pieces)
        await serving.app.stop()
        for word in ("and ", "after"):
            await stream.write(word)
        await stream.write_arguments(index, "]")
        await stream.write_arguments(0, "}")
        await stream.add_part(TextPart("p"))
    (stored,) = [message async for message in client.list_messages("s")]
    assert stream.result is not None
    assert stored == stream.result.message
    assert (stored.content, stored.status) == ("before and after", MessageStatus.COMPLETE)
    assert [call.arguments for call in stored.tool_calls] == ["{}", "[]"]
    assert stored.parts == (TextPart("p"),)


class _Ending:
    """A call of gRPC that ends at the moment of a write."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def send_serialized_message(self, _: bytes) -> None:
        raise cygrpc.InternalError


def _end_meanwhile(stream: Any) -> None:
    """Make the stream's call end during a write, which a test cannot arrange with a real server."""
    call = stream._upload._call  # noqa: SLF001 - callers never need the call
    call._cython_call = _Ending(call._cython_call)  # noqa: SLF001 - below it is compiled code


@pytest.mark.parametrize("after", [("and ", "after"), ()])
async def test_a_write_that_meets_the_end(
    connect_twin: Callable[..., Client], shared: Service, after: tuple[str, ...]
) -> None:
    """If gRPC does not tell why the call has ended, the service counts as lost.

    The message is stored once.
    """
    client = connect_twin("asyncio", shared.address)
    session_id = fresh_id()
    async with client.append_message_stream(session_id, new_session=SessionFields()) as stream:
        await stream.write("before ")
        _end_meanwhile(stream)
        for word in after:
            await stream.write(word)
    (stored,) = [message async for message in client.list_messages(session_id)]
    assert stream.result is not None
    assert stored == stream.result.message
    assert (stored.content, stored.status) == ("".join(["before ", *after]), MessageStatus.COMPLETE)


async def test_a_service_that_stays_away(
    connect: Callable[..., Client], serve: Serve, database_url: str
) -> None:
    """The finish retries as every call does, and fails as every call does."""
    service = await serve(database_url, grace_seconds=0)
    client = connect(service.address, timeout_seconds=1)
    with pytest.raises((UnavailableError, DeadlineExceededError)):
        async with client.append_message_stream("s", new_session=SessionFields()) as stream:
            await stream.write("hello")
            await service.app.stop()


async def test_a_closed_client(connect: Callable[..., Client], shared: Service) -> None:
    """A closed client opens no stream, and ends its open ones."""
    client = connect(shared.address)
    with pytest.raises(RuntimeError, match="the client is closed"):
        async with client.append_message_stream(fresh_id(), new_session=SessionFields()) as stream:
            await stream.write("a")
            await client.close()
            for _ in range(10_000):
                await stream.write("b")
    with pytest.raises(RuntimeError, match="the client is closed"):
        async with client.append_message_stream("s"):
            pytest.fail("the block was entered")


async def test_a_service_that_does_not_answer(connect: Callable[..., Client]) -> None:
    """Opening and finishing a stream end at their deadlines."""
    for accepts in (False, True):
        deaf = Deaf(accepts=accepts)
        async with deaf.running() as address:
            client = connect(address, timeout_seconds=0.3)
            with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.3 seconds"):
                async with client.append_message_stream("s"):
                    assert accepts
            await until(lambda deaf=deaf: deaf.calls == 1)


async def test_a_service_that_does_not_read(connect: Callable[..., Client]) -> None:
    """A write waits for room, so that the bytes in transit are bounded."""
    async with Deaf(accepts=True).running() as address:
        client = connect(address, timeout_seconds=0.5)
        written = 0
        with pytest.raises(DeadlineExceededError):
            async with client.append_message_stream("s") as stream:
                while written < 1_000:
                    await stream.write("x" * 100_000)
                    written += 1
        assert written < 200
