"""Calls that send many requests and get one response, of both clients.

A step that takes too long ends the call: ``DeadlineExceededError``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc

from sessionhistory.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.message import Message

    Metadata = tuple[tuple[str, str | bytes], ...]

_ACCEPTED: Final = "x-request-id"
"""In the initial metadata: the service has taken the first request."""

# What gRPC says of a write to a call that ends in that moment; why it ended it no longer tells.
_ENDED_MEANWHILE: Final = "Internal error from Core"


class AsyncUpload:
    """A call in asyncio."""

    def __init__(self, method: Any, metadata: Metadata) -> None:  # noqa: ANN401 - the stub has no types
        self._call = method(metadata=metadata)

    async def begin(self, first: Message, seconds: float) -> None:
        """Send the first request, and wait until it is taken."""
        async with self._within(seconds):
            await self._write(first)
            if _ACCEPTED not in dict(tuple(await self._call.initial_metadata() or ())):
                await self._call

    async def write(self, request: Message, seconds: float) -> None:
        """Send another, as soon as there is room for it on the way."""
        async with self._within(seconds):
            await self._write(request)

    async def end(self, last: Message | None, seconds: float) -> Any:  # noqa: ANN401 - the response
        """Send the last, if there is one, and return the response."""
        async with self._within(seconds):
            if last is not None:
                await self._write(last)
            await self._call.done_writing()
            return await self._call

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()

    async def _write(self, request: Message) -> None:
        try:
            await self._call.write(request)
        except asyncio.InvalidStateError:
            await self._call  # it has ended: raises why
        except grpc.aio.AioRpcError as error:
            if error.details() != _ENDED_MEANWHILE:
                raise
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE,
                error.initial_metadata(),
                error.trailing_metadata(),
                details="the call ended while it was written to",
            ) from error

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            self.cancel()
            raise _late(seconds) from error


class Upload:
    """A call for threads. A request waits here until gRPC's own thread takes it."""

    def __init__(self, method: Any, metadata: Metadata) -> None:  # noqa: ANN401 - the stub has no types
        self._changed = threading.Condition()
        self._waiting: Message | None = None
        self._ended = False
        self._call = method.future(self._requests(), metadata=metadata)
        self._call.add_done_callback(self._wake)

    def begin(self, first: Message, seconds: float) -> None:
        """Send the first request, and wait until it is taken."""
        end = time.monotonic() + seconds
        self.write(first, seconds)
        timer = threading.Timer(seconds, self.cancel)
        timer.daemon = True
        timer.start()
        accepted = dict(self._call.initial_metadata() or ())
        timer.cancel()
        if _ACCEPTED not in accepted:
            self._result(max(end - time.monotonic(), 0), seconds)

    def write(self, request: Message, seconds: float) -> None:
        """Send another, as soon as there is room for it on the way."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._waiting is None or self._call.done(), seconds)
            if free and not self._call.done():
                self._waiting = request
                self._changed.notify_all()
                return
        self._result(0, seconds)

    def end(self, last: Message | None, seconds: float) -> Any:  # noqa: ANN401 - the response
        """Send the last, if there is one, and return the response."""
        end = time.monotonic() + seconds
        if last is not None:
            self.write(last, seconds)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        return self._result(max(end - time.monotonic(), 0), seconds)

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()

    def _requests(self) -> Iterator[Message]:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_news)
                request, self._waiting = self._waiting, None
                self._changed.notify_all()
            if request is None:
                return
            yield request

    def _has_news(self) -> bool:
        return self._waiting is not None or self._ended

    def _wake(self, _: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _result(self, seconds_left: float, seconds: float) -> Any:  # noqa: ANN401 - the response
        try:
            return self._call.result(timeout=seconds_left)
        except (grpc.FutureTimeoutError, grpc.FutureCancelledError) as error:
            self.cancel()
            raise _late(seconds) from error


def _late(seconds: float) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"no answer within {seconds:.1f} seconds", code=grpc.StatusCode.DEADLINE_EXCEEDED
    )
