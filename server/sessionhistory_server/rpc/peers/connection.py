"""A connection and its calls, with the times that they wait for the peer and the bytes that they hold."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc.aio

from sessionhistory_server.errors import DeadlineExceededError, MalformedRequestError, server_overloaded
from sessionhistory_server.limits import KIB, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_UNREAD_BYTES
from sessionhistory_server.rpc.peers.byte_budget import ByteBudget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Context = grpc.aio.ServicerContext[Any, Any]

_EXPECTED_BYTES: Final = 512 * KIB
"""The expected size of an answer on a new connection: 64 calls may be in flight."""
_LEAST_EXPECTED_BYTES: Final = 32 * KIB
_SMALL_BYTES: Final = 64 * KIB
_CANCELLATION_SECONDS: Final = 0.05
"""The end of a call also ends its stream of requests. After this time its cancellation has arrived."""

T = TypeVar("T")


class PeerConnection:
    """A connection of a peer, and its calls.

    A call reserves as many bytes as the connection's last answers had. So a connection with large answers has
    few calls in flight, and one with small answers has as many as gRPC allows.

    Args:
        peer: The peer's address, as gRPC writes it.
        shared: The budget for the large answers of all connections, from their making until they are read.
    """

    def __init__(self, peer: str, shared: ByteBudget) -> None:
        self.peer = peer
        self.exchanges: set[Exchange] = set()
        self.budget = ByteBudget(MAX_UNREAD_BYTES)
        self.expected_bytes = _EXPECTED_BYTES
        self.is_refused = False
        """Whether new calls are refused: memory is short, and answers are unread or requests unfinished."""
        self.is_ended = False
        self.has_begun = False
        """Whether a call has begun, or a request has arrived, since ``PeerWatcher.take_receiving``."""
        self.quiet_sweeps = 0
        """The number of sweeps in a row that have found no calls on the connection."""
        self.shared = shared

    @property
    def is_receiving(self) -> bool:
        """Whether its peer may be sending a request."""
        return self.has_begun or any(e.asks_since != math.inf and not e.is_open for e in self.exchanges)

    @property
    def unread_bytes(self) -> int:
        """The bytes of answers that the peer has not read."""
        return sum(each.unread_bytes + each.small_bytes for each in self.exchanges)

    @property
    def unread_since(self) -> float:
        """The time at which the oldest unread answer was sent; infinity if there is none."""
        return min((each.unread_since for each in self.exchanges), default=math.inf)

    @property
    def waits_since(self) -> float:
        """The time since which an answer is unread or a request unfinished; infinity if there is neither."""
        asking = min((each.asks_since for each in self.exchanges if not each.is_queued), default=math.inf)
        return min(self.unread_since, asking)

    @property
    def held_bytes(self) -> int:
        """The bytes that it may hold: unread answers, and the maximum size for each unfinished request."""
        unfinished = sum(not each.is_queued and each.asks_since != math.inf for each in self.exchanges)
        return self.unread_bytes + unfinished * MAX_REQUEST_BYTES

    def expect(self, size: int) -> None:
        """Adapt the expected size: to a larger answer at once, to smaller answers slowly."""
        if size > _LEAST_EXPECTED_BYTES or self.expected_bytes > _LEAST_EXPECTED_BYTES:
            self.expected_bytes = max(size, self.expected_bytes * 7 // 8, _LEAST_EXPECTED_BYTES)

    @property
    def has_small_answers(self) -> bool:
        """Whether its answers are so small that a call need not reserve bytes."""
        return self.expected_bytes <= _SMALL_BYTES

    async def run_with_budget(self, work: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run work that makes a large answer, once the shared budget has bytes for the answer."""
        async with self.shared.held(MAX_RESPONSE_BYTES):
            return await work(*arguments)


class Exchange:
    """The requests and answers of one call on the wire."""

    __slots__ = (
        "_awaits_request",
        "_began",
        "_context",
        "_lateness",
        "_reserved_bytes",
        "_task",
        "asks_since",
        "connection",
        "is_open",
        "is_queued",
        "small_bytes",
        "unread_bytes",
        "unread_since",
    )

    def __init__(
        self,
        connection: PeerConnection,
        context: Context,
        task: asyncio.Task[object],
        began: float,
        *,
        is_open: bool = False,
    ) -> None:
        self.connection = connection
        self.is_open = is_open
        """Whether the method needs no credential."""
        self.unread_bytes = 0
        self.small_bytes = 0
        """The bytes of an unread answer that takes nothing of the budget."""
        self.asks_since = math.inf
        self.unread_since = math.inf
        self.is_queued = False
        """Whether the call waits in the queue of the budget. Its request is not read before."""
        self._began = began
        self._context = context
        self._reserved_bytes = 0
        self._lateness: str | None = None
        self._task = task
        self._awaits_request = False

    async def request(self) -> bytes:
        """Reserve bytes for the answer, then read the only request of the call.

        Raises:
            ResourceExhaustedError: memory is short, and the peer does not read answers or finish requests.
            DeadlineExceededError: the request has not arrived in time.
            MalformedRequestError: the call has ended without a request.
        """
        if self.connection.is_refused:
            raise server_overloaded()
        self._awaits_request = True
        self.asks_since = self._began
        try:
            if not self.connection.has_small_answers:
                await self._reserve_in_queue()
            data = await self._context.read()
        except asyncio.CancelledError as error:
            if self._lateness is None:
                raise
            self._task.uncancel()
            raise DeadlineExceededError(self._lateness) from error
        finally:
            self._ask_no_more()
        if data is grpc.aio.EOF:
            await asyncio.sleep(_CANCELLATION_SECONDS)
            raise MalformedRequestError("the call ended without a request", reason="MALFORMED_REQUEST")
        return data  # type: ignore[no-any-return] # no deserializer is set

    async def next_request(self, *, more_follow: bool = False) -> Any:  # noqa: ANN401 - bytes or gRPC's EOF
        """Read the next request of a stream, or EOF. A part of it may be in memory before all has arrived.

        Args:
            more_follow: Whether the peer may send further requests before this one is answered.
        """
        self.asks_since = time.monotonic()
        try:
            return await self._context.read()
        finally:
            if not more_follow:
                self._ask_no_more()

    def _ask_no_more(self) -> None:
        self.asks_since = math.inf
        if not self.is_open:
            self.connection.has_begun = True

    def expire(self, seconds: float) -> None:
        """End the wait for the request, which has taken longer than this many seconds."""
        if self._awaits_request and self._lateness is None:
            self._lateness = f"the request did not arrive within {seconds} seconds"
            if self.is_queued:
                self._lateness = f"earlier answers on this connection were not read within {seconds} seconds"
            self._task.cancel()

    async def reserve(self) -> int:
        """Wait until the budget has bytes for a future answer; return the number of reserved bytes."""
        size = self.connection.expected_bytes
        await self.connection.budget.take(size)
        self._reserved_bytes += size
        return size

    async def _reserve_in_queue(self) -> None:
        self.is_queued = True
        await self.reserve()
        self.is_queued = False
        self.asks_since = time.monotonic()

    def release(self) -> None:
        """Give back the reserved bytes."""
        self.connection.budget.change(-self._reserved_bytes)
        self._reserved_bytes = 0

    def answered(self, size: int, reserved: int) -> None:
        """Count an answer of this size as unread. It replaces the bytes that were reserved for it."""
        connection = self.connection
        connection.expect(size)
        connection.budget.change(size - reserved)
        connection.shared.change(size)
        if not self.unread_bytes:
            self.unread_since = time.monotonic()
        self.unread_bytes += size
        self._reserved_bytes -= reserved

    def answered_once(self, size: int) -> None:
        """Count the only answer of the call as unread. A small one takes no bytes, but its time counts."""
        if self._reserved_bytes or size > _SMALL_BYTES:
            self.answered(size, self._reserved_bytes)
        else:
            self.small_bytes = size
            self.unread_since = time.monotonic()

    def read(self, size: int) -> None:
        """Count this many bytes as read by the peer."""
        self.unread_bytes -= size
        self.connection.budget.change(-size)
        self.connection.shared.change(-size)
        self.unread_since = time.monotonic() if self.unread_bytes else math.inf

    def end(self, _: object) -> None:
        """Give back all bytes, because gRPC has finished the call."""
        self.connection.exchanges.discard(self)
        if self.unread_bytes or self._reserved_bytes:
            self.connection.shared.change(-self.unread_bytes)
            self.connection.budget.change(-self.unread_bytes - self._reserved_bytes)
            self.unread_bytes = self._reserved_bytes = 0
