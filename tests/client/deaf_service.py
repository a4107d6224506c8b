"""A service that reads only the first request of a stream, and does not answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Deaf(grpc.GenericRpcHandler):  # type: ignore[misc] # has no types
    """Answers no stream, and counts the streams."""

    def __init__(self, *, accepts: bool) -> None:
        self._accepts = accepts
        self.calls = 0
        self.ended = 0
        """How many streams have ended: only their callers end them."""

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler of every method."""
        return grpc.stream_unary_rpc_method_handler(self._listen)

    async def _listen(self, _: object, context: Any) -> None:
        self.calls += 1
        try:
            await context.read()
            if self._accepts:
                await context.send_initial_metadata((("x-request-id", "1"),))
            await asyncio.Event().wait()
        finally:
            self.ended += 1

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
