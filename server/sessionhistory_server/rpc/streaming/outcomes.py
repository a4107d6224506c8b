"""The outcomes of the calls of one stream, which go to the caller as soon as they are ready."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sessionhistory_server.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionhistory_server.rpc.streaming.sender import Sender

# Far below the limits of clients and proxies.
_MAX_JOINED_BYTES: Final = 512 * KIB


class Outcomes:
    """The serialized responses that wait until they are sent.

    Serialized responses can be joined: the result is one valid response.

    Args:
        sender: Sends the responses.
        on_taken: Is called when responses no longer wait.
    """

    def __init__(self, sender: Sender, on_taken: Callable[[], None]) -> None:
        self._sender = sender
        self._on_taken = on_taken
        self._ready: list[bytes] = []
        self._changed = asyncio.Event()
        self._is_complete = False
        self._is_dropped = False

    @property
    def waiting(self) -> int:
        """The number of responses that wait."""
        return len(self._ready)

    def add(self, response: bytes, reserved: int = 0) -> None:
        """Send a response, whose call had reserved this many bytes of the connection's budget.

        A call may end after its stream. Its response is not sent, and so it is not counted as unread.
        """
        if self._is_dropped:
            return
        self._sender.prepared(len(response), reserved)
        self._ready.append(response)
        self._changed.set()

    def complete(self) -> None:
        """Add no more: ``send`` ends when all responses are sent."""
        self._is_complete = True
        self._changed.set()

    def drop(self) -> None:
        """Send no more responses: the stream has ended."""
        self._is_dropped = True
        self._ready.clear()
        self.complete()

    async def send(self) -> None:
        """Send the responses as they become ready, those that are ready together in one message."""
        while self._ready or not self._is_complete:
            if not self._ready:
                self._changed.clear()
                await self._changed.wait()
            else:
                response = self._take()
                self._on_taken()
                await self._sender.write_prepared(response)

    def _take(self) -> bytes:
        """Return responses that are sent together: as many as may be joined, at least one."""
        size, count = 0, 0
        for response in self._ready:
            size += len(response)
            if count and size > _MAX_JOINED_BYTES:
                break
            count += 1
        taken, self._ready = self._ready[:count], self._ready[count:]
        return b"".join(taken)
