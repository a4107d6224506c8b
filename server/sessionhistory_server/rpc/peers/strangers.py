"""End connections that take room or time from others without making calls.

gRPC gives a connection ten seconds for the handshake, and then ten minutes for its first call. Meanwhile it
reads all that the peer sends, such as headers that never end, in one of few threads that all connections
share.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.limits import MIB
from sessionhistory_server.rpc.peers import sockets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionhistory_server.rpc.peers.sockets import Address
    from sessionhistory_server.rpc.peers.watcher import PeerWatcher

_SWEEP_SECONDS: Final = 1.0
_LOUD_BYTES: Final = 4 * MIB
"""The bytes that a connection may receive after its last call: the rest of a refused request may come."""
_CROWDED: Final = 0.75
"""The share of its connections from which on a worker is crowded."""
_IDLE_SWEEPS: Final = 5

_log = logging.getLogger(__name__)


class _Seen(NamedTuple):
    """A connection in the last sweep."""

    received_bytes: int
    """In all."""
    unasked_bytes: int = 0
    """Received since the last sweep in which it might be sending a request."""
    idle: int = 0
    """The number of sweeps since its last call."""


class Strangers:
    """The connections of a worker that have no calls.

    It ends a connection that receives much without a call, because gRPC's threads are busy with it. While the
    worker has many connections, it also ends those that had no call for some seconds.

    Args:
        max_connections: How many connections the worker accepts.
        watcher: Knows which peers have calls, and counts ended connections.
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
            await self.sweep(port)

    async def sweep(self, port: int) -> None:
        """Look at all connections to a port, and end those that take too much."""
        # In a thread: to look at thousands of connections takes some hundredths of a second.
        self._look(await asyncio.to_thread(sockets.received_bytes, port))
        loud = [peer for peer, seen in self._seen.items() if seen.unasked_bytes > _LOUD_BYTES]
        await self._end(loud, "too much data")
        if len(self._seen) >= self._crowded:
            idle = [peer for peer, seen in self._seen.items() if seen.idle >= _IDLE_SWEEPS]
            await self._end(idle, "too many connections")

    def _look(self, found: Mapping[Address, int]) -> None:
        active, receiving = self._watcher.active(), self._watcher.take_receiving()
        seen = {}
        for peer, received_bytes in found.items():
            before = self._seen.get(peer, _Seen(0))
            more = before.unasked_bytes + received_bytes - before.received_bytes
            unasked_bytes = 0 if peer in receiving else more
            seen[peer] = _Seen(received_bytes, unasked_bytes, 0 if peer in active else before.idle + 1)
        self._seen = seen

    async def _end(self, peers: list[Address], reason: str) -> None:
        ended = await asyncio.to_thread(sockets.shut_down_addresses, set(peers))
        if ended:
            self._watcher.note_ended(len(ended))
            _log.warning("connections without calls ended: %s", reason, extra={"connections": len(ended)})
