"""The parts of the client that depend on gRPC for asyncio: open channels, and stream requests.

``threads`` has the same names. Both are written by hand, because gRPC differs here: a call of asyncio has
methods that write requests; a call of threads reads its requests from an iterator, in a thread of gRPC. The
rest of the client for threads is generated.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from sessionhistory._transport.failures import REQUEST_ID_KEY, deadline_exceeded
from sessionhistory._transport.options import channel_options
from sessionhistory.errors import DeadlineExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from google.protobuf.message import Message

    from sessionhistory._transport.options import Metadata

Channel = grpc.aio.Channel
KeyFunction = Callable[[], str | Awaitable[str]]

# gRPC's text for a write to a call that ends at the same moment. The reason for the end is lost.
_ENDED_MEANWHILE: Final = "Internal error from Core"


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> Channel:
    """Return a channel for the running event loop."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, channel_options(target, options))
    return grpc.aio.secure_channel(target, credentials, channel_options(target, options))


def running_loop() -> object:
    """Return the event loop to which the caller's channels belong."""
    return asyncio.get_running_loop()


async def ask(function: KeyFunction, seconds: float) -> object:
    """Return the result of a key's function, which may be async.

    Args:
        function: The function.
        seconds: How long it may take, if it is async.

    Raises:
        DeadlineExceededError: it takes longer.
    """
    key = function()
    if not inspect.isawaitable(key):
        return key
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await key
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"key: the function has returned none within {seconds:.1f} seconds"
        raise DeadlineExceededError(message, code=grpc.StatusCode.DEADLINE_EXCEEDED) from error


class Upload:
    """A call that takes a stream of requests, which are sent step by step, and has one response.

    A step that takes too long ends the call with gRPC's DEADLINE_EXCEEDED.

    Args:
        method: The method of the stub.
        metadata: The metadata of the call.
        ended: Called once, when the call has ended in any way.
    """

    def __init__(self, method: Any, metadata: Metadata, ended: Callable[[], None]) -> None:  # noqa: ANN401 - the stub has no types
        self._call = method(metadata=metadata)
        self._call.add_done_callback(lambda _: ended())

    async def begin(self, first: Message, seconds: float) -> None:
        """Send the first request, and wait until the service accepts it."""
        async with self._within(seconds):
            opening = asyncio.ensure_future(self._open(first))
            # If the call is cancelled, for example because the client is closed, the first write would never
            # end.
            self._call.add_done_callback(lambda _: opening.cancel())
            await asyncio.wait([opening])
            if opening.cancelled() or REQUEST_ID_KEY not in opening.result():
                await self._call

    async def write(self, request: Message, seconds: float) -> None:
        """Send another request, as soon as gRPC accepts it."""
        async with self._within(seconds):
            await self._write(request)

    async def end(self, last: Message | None, seconds: float) -> Any:  # noqa: ANN401 - the response
        """Send the last request, if there is one, and return the response."""
        async with self._within(seconds):
            if last is not None:
                await self._write(last)
            await self._call.done_writing()
            return await self._call

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()

    async def _open(self, first: Message) -> dict[str, str | bytes]:
        await self._write(first)
        return dict(tuple(await self._call.initial_metadata() or ()))

    async def _write(self, request: Message) -> None:
        try:
            await self._call.write(request)
        except asyncio.InvalidStateError:
            await self._call  # the call has ended: this raises its error
        except grpc.aio.AioRpcError as error:
            if error.details() != _ENDED_MEANWHILE:
                raise
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE,
                error.initial_metadata(),
                error.trailing_metadata(),
                details="the call ended during a write",
            ) from error

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            self.cancel()
            raise deadline_exceeded(seconds) from error
        except BaseException:
            self.cancel()  # gRPC does not end the call if the caller is cancelled while it opens
            raise
