"""Wait for libpq, always with a limit, and never for an event that the event loop has dropped."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.waiting import Ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGconn

WAIT_SECONDS: Final = 65.0
"""The longest wait for the database: a little longer than a statement may run there."""

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE


class Socket:
    """The socket of a connection, in a form that event loops can wait for.

    The loop watches a selector that holds the socket, not the socket itself. If a socket has an error, uvloop
    calls the reader once and then stops watching the socket. The last bytes that the database sent before it
    closed the connection, and the end itself, would never be read. The selector has no errors, and outlives
    the socket.
    """

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._number = pgconn.socket
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._number, _READ)
        self._watched: int = _READ
        # The selectors of Linux, macOS and the BSDs have a file descriptor.
        self._fileno: int = self._selector.fileno()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop, while it watches the selector."""

    @property
    def is_readable(self) -> bool:
        """Whether data, or the end of the connection, can be read now."""
        return bool(self._ready_for() & _READ)

    async def until(self, step: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Call ``step`` whenever the socket is ready, until it returns ``True``.

        Raises:
            psycopg.Error: ``step`` raised it.
            psycopg.OperationalError: the database did not answer within this many seconds.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def advance() -> None:
            if done.done():
                return
            try:
                if step():
                    done.set_result(None)
            except psycopg.Error as error:
                done.set_exception(error)

        def expire() -> None:
            if not done.done():
                done.set_exception(psycopg.OperationalError(f"no answer within {seconds:g} seconds"))

        timer = loop.call_later(seconds, expire)
        loop.add_reader(self._fileno, advance)
        self._loop = loop
        try:
            await done
        finally:
            self._unwatch()
            timer.cancel()

    async def ready(self, wanted: int, seconds: float) -> Ready:
        """Wait until the socket can be read or written, as ``wanted`` says; return which of them is possible.

        Raises:
            psycopg.OperationalError: the socket was not ready within this many seconds.
        """
        self._watch(wanted)
        try:
            await self.until(lambda: self._ready_for() != 0, seconds)
            return Ready(self._ready_for())
        finally:
            self._watch(_READ)

    def flush(self) -> None:
        """Send the bytes that libpq holds; while some are left, also watch whether the socket can be written.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        self._watch(_READ | _WRITE if self._pgconn.flush() else _READ)

    def close(self) -> None:
        """Free the selector. A running wait ends at its time limit."""
        self._unwatch()
        self._selector.close()

    def _unwatch(self) -> None:
        """Stop watching the selector, because another file may get its number when it is closed."""
        if self._loop is not None:
            self._loop.remove_reader(self._fileno)
            self._loop = None

    def _ready_for(self) -> int:
        found = self._selector.select(0)
        return found[0][1] if found else 0

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._watched = events
            with suppress(OSError, KeyError):  # the socket is closed, which the next call of libpq reports
                self._selector.modify(self._number, events)
