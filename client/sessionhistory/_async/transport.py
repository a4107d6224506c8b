"""Calls to the service by method name, with a deadline and retries."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from sessionhistory._async.call_metadata import AsyncCallMetadata
from sessionhistory._async.connections import CLOSED, AsyncConnections
from sessionhistory._async.streamed_calls import StreamedCalls
from sessionhistory._transport import aio
from sessionhistory._transport.failures import ended_by_close, failure
from sessionhistory._transport.keys import check_transport
from sessionhistory._transport.options import checked_seconds
from sessionhistory._transport.retry import Attempts
from sessionhistory.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

    from sessionhistory._async.calls import Request
    from sessionhistory._transport.options import Metadata
    from sessionhistory.errors import SessionHistoryError

    MetadataMapping = Mapping[str, str | bytes]


class AsyncTransport:
    """The transport of a client: it chooses connections, keeps deadlines, and retries calls where safe."""

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None,
        key: str | aio.KeyFunction | None,
        plaintext_key: bool,
        metadata: MetadataMapping | Callable[[], MetadataMapping],
        timeout_seconds: float,
        options: Sequence[tuple[str, Any]],
    ) -> None:
        if not target or not isinstance(target, str):
            raise ValueError("target: must be HOST:PORT, or any target of gRPC")
        check_transport(target, is_plaintext=credentials is None, key=key, allow=plaintext_key)
        self._connections = AsyncConnections(partial(aio.open_channel, target, credentials, options))
        self._metadata = AsyncCallMetadata(metadata, key)
        self._timeout_seconds = checked_seconds(timeout_seconds)
        self._calls = StreamedCalls(self._connections, options)

    async def call(
        self, method: str, request: Request, *, repeatable: bool = True, timeout_seconds: float | None
    ) -> Any:  # noqa: ANN401 - the response of the method
        """Call a method, and return its response.

        Args:
            method: The name of the method.
            request: The request; a tuple of all requests if the method takes a stream.
            repeatable: Whether two executions have the same effect as one.
            timeout_seconds: How long the call may take, with all its retries; ``None``: the client's timeout.

        Raises:
            SessionHistoryError: the call failed, and a retry cannot help or there is no time for it.
        """
        attempts = self._attempts(self.limit(timeout_seconds), repeatable=repeatable)
        return await self._try(partial(self._attempt, method, request), attempts)

    async def upload(self, method: str, first: Message, timeout_seconds: float) -> aio.Upload:
        """Call a method that takes a stream of requests; return when the service has accepted the first.

        Raises:
            SessionHistoryError: the service refused the first request, or no server answered.
        """
        attempts = self._attempts(timeout_seconds, repeatable=True)
        upload: aio.Upload = await self._try(partial(self._open_upload, method, first), attempts)
        return upload

    def limit(self, timeout_seconds: float | None) -> float:
        """Return the timeout of a call; ``None``: the timeout of the client."""
        return self._timeout_seconds if timeout_seconds is None else checked_seconds(timeout_seconds)

    def failed(self, error: BaseException) -> SessionHistoryError:
        """Return the client's error for the error of a call; raise an error that does not come from a call.

        Raises:
            RuntimeError: the client is closed.
        """
        if self._connections.closed and ended_by_close(error):
            raise RuntimeError(CLOSED) from error
        if isinstance(error, grpc.RpcError):
            return failure(error)
        raise error

    async def close(self) -> None:
        """Close the connections; calls in flight fail."""
        self._calls.close()
        await self._connections.close()

    def may_succeed_with_another_key(self, error: SessionHistoryError) -> bool:
        """Return whether the service has refused the key, and a function may return another one."""
        return isinstance(error, UnauthenticatedError) and self._metadata.has_fresh_keys

    def _attempts(self, timeout_seconds: float, *, repeatable: bool) -> Attempts:
        return Attempts(timeout_seconds, repeatable=repeatable, has_fresh_keys=self._metadata.has_fresh_keys)

    async def _try(self, attempt: Callable[[float, Metadata], Any], attempts: Attempts) -> Any:  # noqa: ANN401 - the result of the attempt
        """Call ``attempt`` with the remaining seconds, until it succeeds or a retry cannot help."""
        # An error of the caller's function is not an error of the service: no retry, no conversion.
        metadata = await self._metadata.of_attempt(attempts.remaining_seconds)
        while True:
            await self._connections.close_silent()
            try:
                return await attempt(attempts.remaining_seconds, metadata)
            except BaseException as error:
                ours = self.failed(error)
                delay_seconds = attempts.delay(ours)
                if delay_seconds is None:
                    raise ours from error
                await asyncio.sleep(delay_seconds)  # as the service or the number of attempts asks
                before, metadata = metadata, await self._metadata.of_attempt(attempts.remaining_seconds)
                if isinstance(ours, UnauthenticatedError) and metadata[-1] == before[-1]:
                    raise ours from error  # the function has no other key

    def _attempt(self, method: str, request: Request, timeout_seconds: float, metadata: Metadata) -> Any:  # noqa: ANN401 - the response
        return self._calls.make(method, request, timeout_seconds, metadata)

    async def _open_upload(
        self, method: str, first: Message, timeout_seconds: float, metadata: Metadata
    ) -> aio.Upload:
        connection = self._connections.take()
        ended = partial(self._connections.give_back, connection)
        upload = aio.Upload(getattr(connection.stub, method), metadata, ended)
        with self._connections.watch(connection):
            await upload.begin(first, timeout_seconds)
        return upload
