"""Watch the peers of this process, and disconnect those that hold too much memory or are too slow.

The bytes of an answer are unread until gRPC has sent them. The end of the call does not free them; the end of
its connection does (see docs/adr/0028-peers-that-do-not-read.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import count
from typing import TYPE_CHECKING, Final, cast

from sessionhistory_server.limits import MIB
from sessionhistory_server.rpc.peers import memory, sockets
from sessionhistory_server.rpc.peers.byte_budget import ByteBudget
from sessionhistory_server.rpc.peers.connection import Exchange, PeerConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from sessionhistory_server.rpc.peers.connection import Context
    from sessionhistory_server.rpc.peers.sockets import Address

_SWEEP_SECONDS: Final = 1.0
_QUIET_SWEEPS: Final = 60
"""After this many sweeps without calls the watcher forgets a connection: it may be closed."""
_SHARE: Final = 8
"""The share of the memory for large answers is one in this many: an answer takes several times its size."""
_FREE_SWEEPS: Final = 10
_GROWTH_BYTES: Final = 64 * MIB
"""Free memory is returned to the system only if the process has grown by more than this since its start."""
_SHORT_READ_SECONDS: Final = 1.0
"""The minimum time for which a peer may leave an answer unread; the maximum while memory is short."""

_log = logging.getLogger(__name__)


class PeerWatcher:
    """A list of the connections with calls. It ends those whose peers hold too much memory or are too slow.

    Args:
        seconds: The seconds in which a peer must send a request, and read an answer; at least one second to
            read.
        max_memory_mib: The resident memory above which the process disconnects peers that hold memory.
        count_ended: Counts an ended connection.
    """

    def __init__(self, *, seconds: float, max_memory_mib: int, count_ended: Callable[[], None]) -> None:
        self._seconds = seconds
        self._max_memory_bytes = max_memory_mib * MIB
        self._count_ended = count_ended
        self._connections: dict[str, PeerConnection] = {}
        self._shared = ByteBudget(self._max_memory_bytes // _SHARE)
        self._usual_bytes = memory.resident_bytes() + _GROWTH_BYTES
        self.calls_taken = 0
        """The number of calls that have begun."""

    def enter(self, context: Context, began: float, *, is_open: bool = False) -> Exchange:
        """Register a call that has begun. When gRPC has finished the call, its bytes are given back.

        Args:
            context: The context of the call.
            began: When the call began, by the monotonic clock.
            is_open: Whether the method needs no credential.
        """
        self.calls_taken += 1
        peer = context.peer()
        connection = self._connections.get(peer)
        if connection is None:
            connection = self._connections[peer] = PeerConnection(peer, self._shared)
        task = cast("asyncio.Task[object]", asyncio.current_task())
        connection.has_begun = True
        exchange = Exchange(connection, context, task, began, is_open=is_open)
        connection.exchanges.add(exchange)
        # A callback of the context itself would make a reference cycle for each call.
        task.add_done_callback(exchange.end)
        return exchange

    def active(self) -> set[Address]:
        """Return the addresses of the peers that have calls, or have begun one since ``take_receiving``."""
        return _addresses([each for each in self._connections.values() if each.exchanges or each.has_begun])

    def take_receiving(self) -> set[Address]:
        """Return the addresses of the peers that may be sending a request.

        They have a call that waits for one, or have begun a call since this function was called last. The
        requests of open methods are tiny.
        """
        receiving = [each for each in self._connections.values() if each.is_receiving]
        for each in self._connections.values():
            each.has_begun = False
        return _addresses(receiving)

    async def run(self) -> None:
        """Sweep at least every second, until cancelled."""
        for number in count(1):
            # A peer that does nothing causes no event.
            await asyncio.sleep(min(_SWEEP_SECONDS, self._seconds / 2))
            self.sweep()
            if number % _FREE_SWEEPS == 0 and memory.resident_bytes() > self._usual_bytes:
                memory.free()

    def sweep(self) -> None:
        """End the connections whose peers have not read an answer in time, and more if memory is short."""
        before = time.monotonic() - self._seconds
        unread = min(before, time.monotonic() - _SHORT_READ_SECONDS)
        late = [connection for connection in self._connections.values() if connection.unread_since < unread]
        self._end(late, "its answers are not read")
        for connection in list(self._connections.values()):
            for exchange in [each for each in connection.exchanges if each.asks_since < before]:
                exchange.expire(self._seconds)
            connection.quiet_sweeps = 0 if connection.exchanges else connection.quiet_sweeps + 1
            if connection.quiet_sweeps >= _QUIET_SWEEPS:
                del self._connections[connection.peer]
        self._relieve()

    def _relieve(self) -> None:
        before = time.monotonic() - _SHORT_READ_SECONDS
        idle = [connection for connection in self._connections.values() if connection.waits_since < before]
        idle.sort(key=lambda connection: connection.held_bytes, reverse=True)
        excess = self._excess_bytes()
        for connection in self._connections.values():
            connection.is_refused = excess > 0 and connection.waits_since < before
        unread = [one for one in idle if one.unread_since < before]
        largest = {*_holding(excess, idle), *_holding(self._shared.queued_bytes, unread)}
        self._end(largest, "memory is short, and its peer does not read answers or finish requests")

    def _excess_bytes(self) -> int:
        if memory.resident_bytes() > self._max_memory_bytes:
            memory.free()
        return memory.resident_bytes() - self._max_memory_bytes

    def note_ended(self, number: int) -> None:
        """Count connections that were ended because they took room or time without a call."""
        for _ in range(number):
            self._count_ended()

    def _end(self, connections: Collection[PeerConnection], reason: str) -> None:
        found = sockets.shut_down([connection.peer for connection in connections])
        for connection in connections:
            if connection.peer in found and not connection.is_ended:
                connection.is_ended = True
                self._count_ended()
                _log_end(connection, reason)


def _addresses(connections: Iterable[PeerConnection]) -> set[Address]:
    return {address for each in connections if (address := sockets.address_of(each.peer))}


def _holding(excess: int, connections: Iterable[PeerConnection]) -> Iterator[PeerConnection]:
    """Yield connections from the beginning, until they hold the excess together."""
    for connection in connections:
        if excess <= 0:
            return
        excess -= connection.held_bytes
        yield connection


def _log_end(connection: PeerConnection, reason: str) -> None:
    seconds = time.monotonic() - connection.waits_since
    fields = {"peer": connection.peer, "seconds": round(seconds, 1), "bytes": connection.unread_bytes}
    _log.warning("connection ended: %s", reason, extra=fields)
