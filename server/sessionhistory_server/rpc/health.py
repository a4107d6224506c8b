"""grpc.health.v1: NOT_SERVING until the database is ready.

The whole server (the name "") is SERVING while reads are served. The service, by its name, is SERVING only
while writes are served, too.

The watches of grpcio's own servicer end only when their clients end them, so they would delay a stop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health, health_pb2

from sessionhistory_server.errors import NotFoundError, too_many_watches
from sessionhistory_server.limits import MAX_WATCHES
from sessionhistory_server.rpc.dispatch import SERVICE, rpc

if TYPE_CHECKING:
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.streaming.sender import Sender

_UNKNOWN: Final = "SERVICE_NOT_FOUND"

_Answer = health_pb2.HealthCheckResponse

# The names of the whole server and of the service.
_NAMES: Final = (health.OVERALL_HEALTH, SERVICE.full_name)


class Health:
    """The servicer of health: the statuses of the server and of the service, and the watches of both."""

    def __init__(self) -> None:
        self._serving: set[str] = set()
        self._shut_down = False
        self._changed = asyncio.Condition()
        self._watches = 0

    async def set_serving(self, *, reads: bool, writes: bool) -> None:
        """Set the statuses, and wake the watches."""
        async with self._changed:
            serving = dict(zip(_NAMES, (reads, writes), strict=True))
            self._serving = {name for name in _NAMES if serving[name] and not self._shut_down}
            self._changed.notify_all()

    async def shut_down(self) -> None:
        """Set both statuses to NOT_SERVING permanently."""
        self._shut_down = True
        await self.set_serving(reads=False, writes=False)

    @rpc(None, is_open=True)
    async def Check(self, _: Caller, request: health_pb2.HealthCheckRequest, response: _Answer) -> None:
        """Return the status of the server or of the service.

        Raises:
            NotFoundError: there is no such service.
        """
        if request.service not in _NAMES:
            raise NotFoundError("no such service here", reason=_UNKNOWN)
        response.status = self._status_of(request.service)

    @rpc(None, is_open=True)
    async def List(self, _: Caller, __: object, response: Any) -> None:  # noqa: ANN401 - has no stub yet
        """Return the statuses of the server and of the service."""
        for name in _NAMES:
            response.statuses[name].status = self._status_of(name)

    @rpc(None, lasts=True, is_open=True)
    async def Watch(self, _: Caller, request: health_pb2.HealthCheckRequest, sender: Sender) -> None:
        """Send the status now and after each change, until the server stops.

        Raises:
            ResourceExhaustedError: there are too many watches.
        """
        if self._watches >= MAX_WATCHES:
            raise too_many_watches()
        self._watches += 1
        try:
            await self._watch(request, sender)
        finally:
            self._watches -= 1

    async def _watch(self, request: health_pb2.HealthCheckRequest, sender: Sender) -> None:
        sent = None
        while True:
            status = self._status_of(request.service)
            if status != sent:
                await sender.send(_Answer(status=status).SerializeToString())
                sent = status
            elif sender.is_ending:
                return
            else:
                await sender.wait(self._change_from(status, request.service))

    async def _change_from(self, status: int, service: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._status_of(service) != status)

    def _status_of(self, service: str) -> Any:  # noqa: ANN401 - an enum without a type
        if service not in _NAMES:
            return _Answer.SERVICE_UNKNOWN
        return _Answer.SERVING if service in self._serving else _Answer.NOT_SERVING
