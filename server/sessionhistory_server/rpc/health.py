"""grpc.health.v1: NOT_SERVING until told otherwise.

The stock servicer's watches end only with their clients, so that a stop would wait for them in vain.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sessionhistory_server.rpc.handlers import SERVICE

if TYPE_CHECKING:
    from sessionhistory_server.rpc.handlers import Context

_Answer = health_pb2.HealthCheckResponse

# The whole server, and our service by name.
_NAMES: Final = (health.OVERALL_HEALTH, SERVICE.full_name)


class Health(health_pb2_grpc.HealthServicer):
    """What the health service answers."""

    def __init__(self) -> None:
        self._serving = False
        self._shut_down = False
        self._ended = False
        self._changed = asyncio.Condition()

    async def set_serving(self, *, serving: bool) -> None:
        """Answer SERVING or NOT_SERVING from now on, and tell those who watch."""
        async with self._changed:
            self._serving = serving and not self._shut_down
            self._changed.notify_all()

    async def shut_down(self) -> None:
        """Answer NOT_SERVING for good."""
        self._shut_down = True
        await self.set_serving(serving=False)

    async def end_watches(self) -> None:
        """Let those go who watch, once they have been told; later ones at once."""
        self._ended = True
        await self.set_serving(serving=False)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> _Answer:
        """Answer once."""
        if request.service not in _NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return _Answer(status=self._status_of(request.service))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Answer now and whenever it changes."""
        told = None
        while True:
            status = self._status_of(request.service)
            if status != told:
                await context.write(_Answer(status=status))
                told = status
            elif self._ended:
                return
            else:
                await self._change_from(status, request.service)

    async def _change_from(self, status: int, service: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._status_of(service) != status)

    def _status_of(self, service: str) -> int:
        if service not in _NAMES:
            return _Answer.SERVICE_UNKNOWN
        return _Answer.SERVING if self._serving else _Answer.NOT_SERVING
