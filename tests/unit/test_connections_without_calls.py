"""Connections without calls are ended if they are loud, or idle while the worker has many."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, cast

import pytest

from sessionhistory_server.limits import MIB
from sessionhistory_server.rpc.peers import strangers as module
from sessionhistory_server.rpc.peers.connection import Exchange, PeerConnection
from sessionhistory_server.rpc.peers.strangers import Strangers
from sessionhistory_server.rpc.peers.watcher import PeerWatcher

if TYPE_CHECKING:
    from collections.abc import Collection

_PORT = 1
_PEER = "ipv4:127.0.0.1:{}"
_MAX_CONNECTIONS = 8


class _Worker:
    """A worker whose connections have received some bytes, by the ports of their peers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received: dict[int, int] = {}
        self.ended: set[int] = set()
        self.counted = 0
        self.watcher = PeerWatcher(seconds=30, max_memory_mib=4_096, count_ended=self._count)
        self._strangers = Strangers(_MAX_CONNECTIONS, self.watcher)
        sockets = module.sockets
        ip, _ = sockets.address_of(_PEER.format(1)) or ("", 0)
        monkeypatch.setattr(
            sockets, "received_bytes", lambda _: {(ip, port): size for port, size in self.received.items()}
        )
        monkeypatch.setattr(sockets, "shut_down_addresses", self._shut_down)

    def _count(self) -> None:
        self.counted += 1

    def _shut_down(self, found: Collection[tuple[object, int]]) -> list[tuple[object, int]]:
        self.ended |= {port for _, port in found}
        return list(found)

    def begin_call(self, port: int, *, asks: bool, is_open: bool = False) -> Exchange:
        """Register a call, and return it; it waits for its request if it asks."""
        connections = self.watcher._connections  # noqa: SLF001 - gRPC would register it
        connection = connections.setdefault(
            _PEER.format(port), PeerConnection(_PEER.format(port), cast("Any", None))
        )
        connection.has_begun = True
        exchange = Exchange(connection, cast("Any", None), cast("Any", None), 0.0, is_open=is_open)
        exchange.asks_since = 0.0 if asks else math.inf
        connection.exchanges.add(exchange)
        return exchange

    def end_calls(self, port: int) -> None:
        """End all calls of a connection."""
        self.watcher._connections[_PEER.format(port)].exchanges.clear()  # noqa: SLF001

    async def sweep(self) -> None:
        """Look at all connections once, as the worker does each second."""
        await self._strangers.sweep(_PORT)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> _Worker:
    """A worker that accepts eight connections."""
    return _Worker(monkeypatch)


@pytest.mark.parametrize("is_calling", [False, True])
async def test_a_loud_connection_without_calls(worker: _Worker, *, is_calling: bool) -> None:
    """It is ended after four mebibytes; one that begins calls is not."""
    for second in range(1, 8):
        worker.received[7] = second * MIB
        if is_calling:
            worker.begin_call(7, asks=False)
        await worker.sweep()
        assert worker.ended == (set() if is_calling or second < 5 else {7})


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_call_that_waits_for_its_request(worker: _Worker, *, is_open: bool) -> None:
    """Its connection may be loud, unless the method needs no credential: such requests are tiny."""
    worker.begin_call(7, asks=True, is_open=is_open)
    for second in range(1, 8):
        worker.received[7] = second * MIB
        await worker.sweep()
    assert worker.ended == ({7} if is_open else set())


async def test_a_request_that_is_complete_before_the_next_look(worker: _Worker) -> None:
    """Its bytes are no data without a call, although the call has begun before the last look."""
    complete = asyncio.Event()

    class _Context:
        async def read(self) -> bytes:
            await complete.wait()
            return b""

    exchange = worker.begin_call(7, asks=False)
    exchange._context = cast("Any", _Context())  # noqa: SLF001 - gRPC would deliver the request
    worker.received[7] = 0
    request = asyncio.create_task(exchange.request())
    await asyncio.sleep(0)
    await worker.sweep()
    worker.received[7] = 6 * MIB
    complete.set()
    await request
    await worker.sweep()
    assert not worker.ended


async def test_a_quiet_connection_stays(worker: _Worker) -> None:
    """Pings and updates of windows are few bytes, and the rest of a refused request is not many."""
    for second in range(1, 20):
        worker.received = {7: second * 1_000, 8: 4 * MIB}
        await worker.sweep()
    assert not worker.ended


@pytest.mark.parametrize(("connections", "ended"), [(5, set()), (6, {1, 2, 3, 4, 5})])
async def test_idle_connections_in_a_crowd(worker: _Worker, connections: int, ended: set[int]) -> None:
    """From three quarters on, those without a call in five seconds are ended."""
    worker.received = dict.fromkeys(range(1, connections), 0) | {9: 0}
    worker.begin_call(9, asks=False)
    worker.begin_call(1, asks=False)
    worker.end_calls(1)
    for _ in range(4):
        await worker.sweep()
    assert not worker.ended
    await worker.sweep()
    assert worker.ended == ended - {1}
    assert worker.counted == len(worker.ended)
    await worker.sweep()
    assert worker.ended == ended
