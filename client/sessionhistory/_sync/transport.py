"""The way to the service: a channel, a deadline for each call, and another attempt where that is safe."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import grpc

from sessionhistory._calls import Calls
from sessionhistory._channels import ended_by_close, no_loop, open_channel, seconds, sendable
from sessionhistory._failures import failure
from sessionhistory._retry import Attempts
from sessionhistory._uploads import Upload
from sessionhistory.v1.session_history_service_pb2_grpc import SessionHistoryServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

    from sessionhistory._channels import Channel
    from sessionhistory.errors import SessionHistoryError

    Metadata = Mapping[str, str | bytes]
    Request = Message | tuple[Message, ...]

_CLOSED: Final = "the client is closed"


class Transport:
    """Calls methods of the service.

    The channel is opened by the first call: in its event loop, and after the forks of a prefork server.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None,
        metadata: Metadata | Callable[[], Metadata],
        timeout_seconds: float,
        options: Sequence[tuple[str, Any]],
    ) -> None:
        if not target or not isinstance(target, str):
            raise ValueError("target: must be HOST:PORT, or any target of gRPC")
        self._open: Callable[[], Channel] = partial(open_channel, target, credentials, options)
        self._metadata = metadata if callable(metadata) else sendable(metadata)
        self._timeout_seconds = seconds(timeout_seconds)
        self._calls = Calls(self._connected, options)
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._stub: Any = None
        self._loop: object = None
        self._closed = False

    def call(
        self, method: str, request: Request, *, repeatable: bool = True, timeout_seconds: float | None
    ) -> Any:  # noqa: ANN401 - the response of the method
        """Return the response of a method, which may take several requests.

        ``repeatable``: whether doing it twice does what once does.

        Raises:
            SessionHistoryError: the call failed, and trying again cannot help or there is no time for it.
        """
        attempts = Attempts(self.limit(timeout_seconds), repeatable=repeatable)
        return self._try(partial(self._attempt, method, request), attempts)

    def upload(self, method: str, first: Message, timeout_seconds: float) -> Upload:
        """Return a stream of requests to a method, the first of which the service has taken.

        Raises:
            SessionHistoryError: the service has refused it, or there is no service.
        """
        attempts = Attempts(timeout_seconds, repeatable=True)
        upload: Upload = self._try(partial(self._open_upload, method, first), attempts)
        return upload

    def limit(self, timeout_seconds: float | None) -> float:
        """Return how long something may take that names no time, or names this one."""
        return self._timeout_seconds if timeout_seconds is None else seconds(timeout_seconds)

    def failed(self, error: BaseException) -> SessionHistoryError:
        """Return the error of a call as one of ours; raise what is no call's.

        Raises:
            RuntimeError: the client is closed.
        """
        if self._closed and ended_by_close(error):
            raise RuntimeError(_CLOSED) from error
        if isinstance(error, grpc.RpcError):
            return failure(error)
        raise error

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        with self._lock:
            self._closed = True
            channel, self._channel, self._stub = self._channel, None, None
        self._calls.close()
        if channel is not None:
            channel.close()

    def _try(self, attempt: Callable[[float], Any], attempts: Attempts) -> Any:  # noqa: ANN401 - what the attempt returns
        """Return what an attempt returns, which is told how many seconds it has."""
        while True:
            try:
                return attempt(attempts.remaining_seconds)
            except BaseException as error:
                ours = self.failed(error)
                delay_seconds = attempts.delay(ours)
                if delay_seconds is None:
                    raise ours from error
            time.sleep(delay_seconds)

    def _attempt(self, method: str, request: Request, timeout_seconds: float) -> Any:  # noqa: ANN401 - the response
        return self._calls.make(method, request, timeout_seconds, self._sent_metadata())

    def _open_upload(self, method: str, first: Message, timeout_seconds: float) -> Upload:
        upload = Upload(getattr(self._connected(), method), self._sent_metadata())
        upload.begin(first, timeout_seconds)
        return upload

    def _sent_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return sendable(self._metadata()) if callable(self._metadata) else self._metadata

    def _connected(self) -> Any:  # noqa: ANN401 - the generated stub has no types
        with self._lock:
            if self._closed:
                raise RuntimeError(_CLOSED)
            if self._stub is None:
                self._channel = self._open()
                self._stub = cast("Any", SessionHistoryServiceStub)(self._channel)
                self._loop = no_loop()
            if self._loop is not no_loop():
                raise RuntimeError("the client was first used in another event loop: make one for each")
            return self._stub
