"""Send several answers to one call, and wait until there is another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionhistory_server.rpc.peers.connection import Context, Exchange
    from sessionhistory_server.rpc.streaming.waits import StreamRules


class Sender:
    """The answers of one call.

    Args:
        context: The context of the call.
        exchange: The exchange of the call. It counts the answers that the peer has not read.
        rules: How long the call may wait for something to send.
    """

    def __init__(self, context: Context, exchange: Exchange, rules: StreamRules) -> None:
        self.context: Final = context
        self.connection: Final = exchange.connection
        self._exchange = exchange
        self._waits = rules.sends
        self.reserve: Final = exchange.reserve
        self.prepared: Final = exchange.answered

    @property
    def is_ending(self) -> bool:
        """Whether a lasting stream must end, because the server stops."""
        return self._waits.are_ended

    async def wait(self, change: Awaitable[object]) -> None:
        """Wait for a change, or until the stream must end."""
        try:
            await self._waits.wait(change, None)
        except TimeoutError:
            if not self.is_ending:
                raise

    async def send(self, response: bytes) -> None:
        """Send an answer, as soon as the budget of the connection has bytes for it.

        Raises:
            CancelledError: the call has ended meanwhile.
        """
        self.prepared(len(response), 0)
        await self.send_prepared(response)

    async def send_prepared(self, response: bytes) -> None:
        """Send an answer that is already counted as unread.

        Raises:
            CancelledError: the call has ended meanwhile.
        """
        writing = asyncio.ensure_future(self.write_prepared(response))
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # the call has ended
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # gRPC sends no status while it still sends an answer, and keeps both until the connection ends.
            # If the answer is not read in time, `PeerWatcher` ends the connection.
            await asyncio.wait((writing,))
            raise

    async def write_prepared(self, response: bytes) -> None:
        """Send an answer that is already counted as unread. The task must not be cancelled meanwhile.

        Raises:
            CancelledError: the call has ended meanwhile.
        """
        try:
            await self.context.write(response)
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:
            raise asyncio.CancelledError from error
        self._exchange.read(len(response))
