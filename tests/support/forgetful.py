"""A server that does what it is asked to do, and loses its first answer."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.service import Service

_ATTEMPT = "grpc-previous-rpc-attempts"


class Forgetful(grpc.GenericRpcHandler):
    """Passes calls on to a service. A call that succeeds is UNAVAILABLE until gRPC's client tries it again.

    ``seconds_left`` has what each attempt found left of its deadline: without one, infinity.
    """

    def __init__(self, service: Service) -> None:
        self.address = ""
        self.seconds_left: list[float] = []
        self._channel = service.channel

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

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler of a method."""
        call = self._channel.unary_unary(details.method)
        retried = any(key == _ATTEMPT for key, _ in details.invocation_metadata)

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            seconds = context.time_remaining()
            self.seconds_left.append(math.inf if seconds is None else seconds)
            try:
                response = await call(request)
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                await context.abort(error.code(), error.details())
            if not retried:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
            return response

        return grpc.unary_unary_rpc_method_handler(answer)
