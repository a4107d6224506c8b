"""A server that carries out each call and loses its first answer."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.service import Service

    Context = grpc.aio.ServicerContext[bytes, bytes]

STREAM = "/sessionhistory.v1.SessionHistoryService/AppendMessageStream"
_UNKNOWN = "/sessionhistory.v1.SessionHistoryService/CallStream"


class Forgetful(grpc.GenericRpcHandler):
    """Passes calls on to a service. A call that succeeds is UNAVAILABLE until the caller repeats it.

    The first stream is cut after two pieces, and the service receives nothing of it.
    CallStream is UNIMPLEMENTED.

    ``seconds_left`` has, for each method, the longest time that an attempt had left until its deadline:
    infinity without a deadline.
    """

    def __init__(self, service: Service) -> None:
        self.address = ""
        self.refused_streams = 0
        self.seconds_left: dict[str, float] = {}
        self._channel = service.channel
        self._known: set[tuple[str, bytes]] = set()
        self._stream_lost = False

    @classmethod
    @asynccontextmanager
    async def running(cls, service: Service) -> AsyncIterator[Forgetful]:
        """Listen on any free port."""
        server = grpc.aio.server()
        forgetful = cls(service)
        server.add_generic_rpc_handlers([forgetful])
        forgetful.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield forgetful
        finally:
            await server.stop(None)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of a method."""
        method = details.method
        if method == _UNKNOWN:
            self.refused_streams += 1
            return None

        async def answer(request: bytes, context: Context) -> bytes:
            self._note(method, context)
            return await self._answer(self._channel.unary_unary(method)(request), method, request, context)

        async def store(requests: AsyncIterator[bytes], context: Context) -> bytes:
            self._note(method, context)
            # The service does so too. After this gRPC's client does not retry by itself.
            await context.send_initial_metadata(())
            pieces: list[bytes] = []
            async for piece in requests:
                pieces.append(piece)
                if len(pieces) == 2 and not self._stream_lost:
                    self._stream_lost = True
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was lost")
            call = self._channel.stream_unary(method)(iter(pieces))
            return await self._answer(call, method, b"".join(pieces), context)

        if method == STREAM:
            return grpc.stream_unary_rpc_method_handler(store)
        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, call: Any, method: str, request: bytes, context: Context) -> bytes:
        try:
            response: bytes = await call
        except grpc.aio.AioRpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            await context.abort(error.code(), error.details())
        if (method, request) not in self._known:
            self._known.add((method, request))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        return response

    def _note(self, method: str, context: Context) -> None:
        seconds = context.time_remaining()
        left = math.inf if seconds is None else seconds
        self.seconds_left[method] = max(left, self.seconds_left.get(method, 0))
