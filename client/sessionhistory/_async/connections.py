"""The connections of a client: one for each call in flight, up to eight.

A connection stays with the worker process that accepted it, so a single connection would use only one worker.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc

from sessionhistory._transport import aio
from sessionhistory._transport.stubs import Stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOSED: Final = "the client is closed"

# A connection is accepted by a random worker. With two workers, all eight connections lead to the same one in
# one of 128 clients.
_MOST: Final = 8

# The codes of errors that the connection may have caused, because it leads to one worker of one server.
_MAY_BE_THE_CONNECTION: Final = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}
_AVOIDED_SECONDS: Final = 1.0


class AsyncConnection:
    """A channel, with its own connection to each server, and the number of calls on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.stub: Any = Stub(channel)  # the methods have no types
        self.calls_under_way = 0
        self.has_call_stream = False
        self.answers = 0
        self.is_given_up = False
        self._avoided_until = 0.0

    def failed(self, error: grpc.RpcError) -> None:
        """Avoid this connection for a second, if the call may succeed on another one.

        Otherwise a broken connection, which always has the fewest calls, would attract all calls.
        """
        if error.code() in _MAY_BE_THE_CONNECTION:
            self._avoided_until = time.monotonic() + _AVOIDED_SECONDS
        else:
            self.answers += 1

    @property
    def is_avoided(self) -> bool:
        """Whether a call has failed in the last second, perhaps because of this connection."""
        return self._avoided_until > time.monotonic()

    @property
    def is_in_use(self) -> bool:
        """Whether the connection has calls, or a stream of them."""
        return self.has_call_stream or self.calls_under_way > 0

    def rank(self) -> tuple[bool, int]:
        """Return the sort key: the next call uses the connection with the lowest one."""
        return self.is_avoided, self.calls_under_way


class AsyncConnections:
    """The connections of a client, which are opened when calls need them, and share the calls.

    The first call opens the first connection, in the event loop of the call and after a prefork server has
    forked.
    """

    def __init__(self, open_channel: Callable[[], aio.Channel]) -> None:
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._connections: list[AsyncConnection] = []
        self._silent: list[AsyncConnection] = []
        self._loop: object = None
        self.closed = False

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """Lend the stub of the connection with the fewest calls in flight, for a call.

        Raises:
            RuntimeError: the client is closed, or was first used in another event loop.
        """
        connection = self.take()
        try:
            with self.watch(connection):
                yield connection.stub
        finally:
            self.give_back(connection)

    @contextmanager
    def watch(self, connection: AsyncConnection) -> Iterator[None]:
        """Note whether the connection answers the call in the block.

        If a connection has answered before, and then does not answer a call until its deadline, it gets no
        other calls: it may be dead, which TCP notices after a quarter of an hour. Later calls open a new
        connection if necessary.
        """
        answers = connection.answers
        try:
            yield
        except grpc.RpcError as error:
            connection.failed(error)
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and 0 < connection.answers == answers:
                self.give_up(connection)
            raise
        connection.answers += 1

    def take(self) -> AsyncConnection:
        """Return the connection with the fewest calls in flight, and add a call to it.

        Raises:
            RuntimeError: as above.
        """
        with self._lock:
            self._require_open()
            connection = self._least_busy()
            connection.calls_under_way += 1
            return connection

    def give_back(self, connection: AsyncConnection) -> None:
        """Note that a call on the connection has ended."""
        with self._lock:
            connection.calls_under_way -= 1

    def take_for_call_stream(self) -> AsyncConnection:
        """Return a connection without a stream of calls, and note that it has one now.

        The stream is not a call in flight, so that other calls open no connections because of it.

        Raises:
            RuntimeError: as above.
        """
        with self._lock:
            self._require_open()
            free = [each for each in self._connections if not each.has_call_stream]
            connection = min(free, key=AsyncConnection.rank, default=None) or self._open()
            connection.has_call_stream = True
            return connection

    def give_up(self, connection: AsyncConnection) -> None:
        """Make no other calls on a connection, and close it when those in flight have ended."""
        with self._lock:
            if connection in self._connections:
                connection.is_given_up = True
                self._connections.remove(connection)
                self._silent.append(connection)

    async def close_silent(self) -> None:
        """Close the connections that were given up and have no calls in flight."""
        if not self._silent:
            return
        with self._lock:
            ended = [each for each in self._silent if not each.is_in_use]
            self._silent = [each for each in self._silent if each.is_in_use]
        for connection in ended:
            await connection.channel.close()

    async def close(self) -> None:
        """Close all connections; calls in flight fail."""
        with self._lock:
            self.closed = True
            connections = self._connections + self._silent
            self._connections, self._silent = [], []
        for connection in connections:
            await connection.channel.close()

    def require_open(self) -> None:
        """Check that calls can be made.

        Raises:
            RuntimeError: as above.
        """
        with self._lock:
            self._require_open()

    def _require_open(self) -> None:
        if self.closed:
            raise RuntimeError(CLOSED)
        self._loop = self._loop or aio.running_loop()
        if self._loop is not aio.running_loop():
            raise RuntimeError("the client was first used in another event loop: create one for each")

    def _least_busy(self) -> AsyncConnection:
        """Return the connection with the fewest calls in flight; of several, the one unused for longest.

        If there are at least as many calls as connections, open a new one instead, up to eight.
        """
        calls = sum(each.calls_under_way for each in self._connections)
        if len(self._connections) <= min(calls, _MOST - 1):
            return self._open()
        connection = min(self._connections, key=AsyncConnection.rank)
        self._connections.remove(connection)
        self._connections.append(connection)
        return connection

    def _open(self) -> AsyncConnection:
        connection = AsyncConnection(self._open_channel())
        self._connections.append(connection)
        return connection
