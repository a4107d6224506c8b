"""End connections that take room or time from others without making calls.

gRPC gives a connection ten seconds for the handshake, and then ten minutes for its first call. Meanwhile it
reads all that the peer sends, such as headers that never end, in one of few threads that all connections
share.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.limits import KIB
from sessionhistory_server.rpc.peers import sockets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.rpc.peers.sockets import Address
    from sessionhistory_server.rpc.peers.watcher import PeerWatcher

_SWEEP_SECONDS: Final = 1.0
_LOUD_BYTES: Final = 512 * KIB
"""The bytes that a connection without a call may receive between two sweeps."""
_LOUD_SWEEPS: Final = 2
_CROWDED: Final = 0.75
"""The share of its connections from which on a worker is crowded."""
_IDLE_SWEEPS: Final = 5

_log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """A connection in the last sweep, with the numbers of sweeps in a row in which it was loud, and idle."""

    received_bytes: int
    loud: int = 0
    idle: int = 0


class Strangers:
    """The connections of a worker that have no calls.

    It ends a connection that receives much without a call, because gRPC's threads are busy with it. While the
    worker has many connections, it also ends those that had no call for some seconds.

    Args:
        max_connections: How many connections the worker accepts.
        watcher: Knows which peers have calls.
    """

    def __init__(self, max_connections: int, watcher: PeerWatcher) -> None:
        self._crowded = int(max_connections * _CROWDED)
        self._watcher = watcher
        self._seen: dict[Address, _Seen] = {}

    async def run(self, port: int) -> None:
        """Sweep every second, until cancelled.

        Args:
            port: The port on which the worker serves.
        """
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)  # a peer that makes no calls causes no event
            # In a thread: to look at thousands of connections takes a tenth of a second.
            self._look(await asyncio.to_thread(sockets.received_bytes, port))
            await self._end(
                [peer for peer, seen in self._seen.items() if seen.loud >= _LOUD_SWEEPS], "too much data"
            )
            if len(self._seen) >= self._crowded:
                idle = [peer for peer, seen in self._seen.items() if seen.idle >= _IDLE_SWEEPS]
                await self._end(idle, "too many connections")

    def _look(self, found: Mapping[Address, int]) -> None:
        receiving, active = self._watcher.take_receiving(), self._watcher.active()
        seen = {}
        for peer, received_bytes in found.items():
            before = self._seen.get(peer, _Seen(0))
            is_loud = received_bytes - before.received_bytes > _LOUD_BYTES and peer not in receiving
            loud, idle = before.loud + 1 if is_loud else 0, 0 if peer in active else before.idle + 1
            seen[peer] = _Seen(received_bytes, loud, idle)
        self._seen = seen

    async def _end(self, peers: list[Address], reason: str) -> None:
        ended = await asyncio.to_thread(sockets.shut_down_addresses, set(peers))
        if ended:
            _log.warning("connections without calls ended: %s", reason, extra={"connections": len(ended)})
