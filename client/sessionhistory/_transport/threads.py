"""The parts of the client that depend on gRPC for threads: open channels, and stream requests.

``aio`` has the same names. Both are written by hand, because gRPC differs here: a call of asyncio has
methods that write requests; a call of threads reads its requests from an iterator, in a thread of gRPC. The
rest of the client for threads is generated.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from sessionhistory._transport.failures import REQUEST_ID_KEY, deadline_exceeded
from sessionhistory._transport.options import channel_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from sessionhistory._transport.options import Metadata

Channel = grpc.Channel
KeyFunction = Callable[[], str]


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> Channel:
    """Return a channel for all threads."""
    if credentials is None:
        return grpc.insecure_channel(target, channel_options(target, options))
    return grpc.secure_channel(target, credentials, channel_options(target, options))


def running_loop() -> object:
    """Return ``None``: channels of threads belong to no event loop."""
    return None


def ask(function: KeyFunction, _seconds: float) -> object:
    """Return the result of a key's function, which limits its time itself.

    Raises:
        ValueError: the function is async.
    """
    key: object = function()
    if inspect.iscoroutine(key):
        key.close()
        raise ValueError("key: only AsyncSessionHistoryClient takes an async function")
    return key


class Upload:
    """A call that takes a stream of requests, which are sent step by step, and has one response.

    A step that takes too long ends the call with gRPC's DEADLINE_EXCEEDED. A request waits here until a
    thread of gRPC takes it.

    Args:
        method: The method of the stub.
        metadata: The metadata of the call.
        ended: Called once, when the call has ended in any way.
    """

    def __init__(self, method: Any, metadata: Metadata, ended: Callable[[], None]) -> None:  # noqa: ANN401 - the stub has no types
        self._changed = threading.Condition()
        self._waiting: Message | None = None
        self._ended = False
        self._call = method.future(self._requests(), metadata=metadata)
        self._call.add_done_callback(self._wake)
        self._call.add_done_callback(lambda _: ended())

    def begin(self, first: Message, seconds: float) -> None:
        """Send the first request, and wait until the service accepts it."""
        end = time.monotonic() + seconds
        with self._ended_by_failure():
            self.write(first, seconds)
            if REQUEST_ID_KEY not in self._initial_metadata(seconds):
                self._result(max(end - time.monotonic(), 0), seconds)

    def write(self, request: Message, seconds: float) -> None:
        """Send another request, as soon as gRPC has taken the previous one."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._waiting is None or self._call.done(), seconds)
            if free and not self._call.done():
                self._waiting = request
                self._changed.notify_all()
                return
        self._result(0, seconds)

    def end(self, last: Message | None, seconds: float) -> Any:  # noqa: ANN401 - the response
        """Send the last request, if there is one, and return the response."""
        end = time.monotonic() + seconds
        with self._ended_by_failure():
            if last is not None:
                self.write(last, seconds)
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            return self._result(max(end - time.monotonic(), 0), seconds)

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()

    @contextmanager
    def _ended_by_failure(self) -> Iterator[None]:
        """End the call if the step fails, for example by Ctrl-C."""
        try:
            yield
        except BaseException:
            self.cancel()
            raise

    def _initial_metadata(self, seconds: float) -> dict[str, str | bytes]:
        timer = threading.Timer(seconds, self.cancel)
        timer.daemon = True
        timer.start()
        try:
            return dict(self._call.initial_metadata() or ())
        finally:
            timer.cancel()

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
            raise deadline_exceeded(seconds) from error
