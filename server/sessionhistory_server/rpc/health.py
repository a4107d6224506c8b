"""grpc.health.v1: NOT_SERVING until told otherwise."""

from __future__ import annotations

from typing import Final

from grpc_health.v1 import health, health_pb2

from sessionhistory_server.rpc.handlers import SERVICE

# The whole server, and our service by name.
_NAMES: Final = (health.OVERALL_HEALTH, SERVICE.full_name)


class Health:
    """What the health service answers."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def set_serving(self, *, serving: bool) -> None:
        """Answer SERVING or NOT_SERVING from now on, and tell those who watch."""
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if serving else answer.NOT_SERVING
        for name in _NAMES:
            await self.servicer.set(name, status)

    async def shut_down(self) -> None:
        """Answer NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()
