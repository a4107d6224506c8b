"""grpc.health.v1: NOT_SERVING until told otherwise."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health, health_pb2

from sessionhistory_server.rpc.handlers import SERVICE

if TYPE_CHECKING:
    from sessionhistory_server.rpc.handlers import Context

# The whole server, and our service by name.
_NAMES: Final = (health.OVERALL_HEALTH, SERVICE.full_name)


class _Servicer(health.aio.HealthServicer):
    """The stock servicer, whose watches can be ended: a stop would wait for them in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.watches: set[asyncio.Task[Any]] = set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"  # noqa: S101 - for the type checker
        self.watches.add(task)
        try:
            await super().Watch(request, context)
        finally:
            self.watches.discard(task)


class Health:
    """What the health service answers."""

    def __init__(self) -> None:
        self.servicer = _Servicer()

    async def set_serving(self, *, serving: bool) -> None:
        """Answer SERVING or NOT_SERVING from now on, and tell those who watch."""
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if serving else answer.NOT_SERVING
        for name in _NAMES:
            await self.servicer.set(name, status)

    async def shut_down(self) -> None:
        """Answer NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()

    async def end_watches(self) -> None:
        """End the streams of those who watch; they have been told."""
        for task in tuple(self.servicer.watches):
            task.cancel()
