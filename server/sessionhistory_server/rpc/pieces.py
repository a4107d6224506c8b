"""What comes in on a stream, piece by piece and in time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc.aio

from sessionhistory_server.errors import DeadlineExceededError, server_stopping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.rpc.handlers import Context

R = TypeVar("R")
T = TypeVar("T")


class OpenStreams:
    """The streams that wait for their callers: when the server stops, they end."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()
        self.ending = False

    def end(self) -> None:
        """End those that wait, and those that would."""
        self.ending = True
        for timeout in self._waiting:
            if not timeout.expired():
                timeout.reschedule(0)

    async def wait(self, awaitable: Awaitable[T], seconds: float | None) -> T:
        """Wait for a caller.

        Raises:
            TimeoutError: it takes longer than so many seconds, or the streams end.
        """
        async with asyncio.timeout(0 if self.ending else seconds) as timeout:
            self._waiting.add(timeout)
            try:
                return await awaitable
            finally:
                self._waiting.discard(timeout)


class Pieces(Generic[R]):
    """The pieces of one stream.

    Args:
        context: Of the call.
        parse: Makes a piece of its bytes.
        streams: All that are open.
        idle_seconds: How long a caller that named no deadline may be silent.
        default_deadline_seconds: How long what is done for such a caller may take.
    """

    def __init__(
        self,
        context: Context,
        parse: Callable[[bytes], R],
        streams: OpenStreams,
        *,
        idle_seconds: float,
        default_deadline_seconds: float,
    ) -> None:
        self._context = context
        self._parse = parse
        self._streams = streams
        named = context.time_remaining() is not None
        self._idle_seconds = None if named else idle_seconds
        self._deadline_seconds = None if named else default_deadline_seconds

    async def read(self) -> R | None:
        """Return the next piece; ``None`` if the caller has ended the stream.

        Raises:
            MalformedRequestError: it is no valid message, or too large.
            DeadlineExceededError: the caller has been silent for too long.
            UnavailableError: the server is stopping.
        """
        try:
            data = await self._streams.wait(self._context.read(), self._idle_seconds)
        except TimeoutError as error:
            if self._streams.ending:
                raise server_stopping() from error
            raise DeadlineExceededError(f"the stream was silent for {self._idle_seconds} seconds") from error
        if data is not grpc.aio.EOF:
            return self._parse(data)
        await asyncio.sleep(0)  # a call that is over ends its stream, too: here its cancellation reaches us
        return None

    async def accept(self) -> None:
        """Tell the caller that its stream may go on: by its request id, which a refusal has at its end."""
        with suppress(grpc.aio.InternalError):  # the call is over, as the next read will say
            await self._context.send_initial_metadata(self._context.trailing_metadata())

    async def within(self, work: Awaitable[T]) -> T:
        """Return what comes of work for the caller, under its deadline or the default one.

        Raises:
            DeadlineExceededError: it took too long.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await work
        except TimeoutError as error:
            raise DeadlineExceededError from error
