"""Messages that are stored while they are written, and the service is lost, slow or silent."""
# ruff: noqa: PT012 - it is a block that fails

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from client_samples import fresh_id
from grpc._cython import cygrpc

from sessionhistory import Message, MessageStatus, Role, Session, TextPart, ToolCall
from sessionhistory.errors import DeadlineExceededError, UnavailableError
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sessionhistory import AsyncSessionHistoryClient as Client
    from support.service import Service

    Serve = Callable[..., Awaitable[Service]]


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
    """A call of gRPC's that ends in the moment in which it is written to."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def send_serialized_message(self, _: bytes) -> None:
        raise cygrpc.InternalError


def _end_meanwhile(stream: Any) -> None:
    """End the call of a stream in the moment in which it is written to: that cannot be had by chance."""
    call = stream._upload._call  # noqa: SLF001 - nobody else may have it
    call._cython_call = _Ending(call._cython_call)  # noqa: SLF001 - below is no Python


@pytest.mark.parametrize("after", [("and ", "after"), ()])
async def test_a_write_that_meets_the_end(
    connect_twin: Callable[..., Client], shared: Service, after: tuple[str, ...]
) -> None:
    """Why the call has ended gRPC no longer tells: the service is lost, and the message stored once."""
    client = connect_twin("asyncio", shared.address)
    session_id = fresh_id()
    async with client.append_message_stream(session_id, create_session=Session()) as stream:
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

    async def _listen(self, _: object, context: Any) -> None:
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
