"""Calls with one response, over streams that stay open. This is for asyncio only.

A call over an open stream costs a fraction of a call in its own request, and calls that begin in the same
turn of the event loop share a message. No call waits for others.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sessionhistory._async.call_streams import CallStreams
from sessionhistory._async.calls import AsyncCalls
from sessionhistory._transport.failures import REQUEST_ID_KEY
from sessionhistory._transport.outcomes import FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from sessionhistory._async.calls import Request
    from sessionhistory._async.connections import AsyncConnections
    from sessionhistory._transport.options import Metadata

# A larger call would delay the others of its stream.
_MAX_BYTES: Final = 64 * 1024


class StreamedCalls(AsyncCalls):
    """The calls of a client, over streams if possible.

    Args:
        connections: The connections to make them on.
        options: The options of the channels. If they limit the size of messages, every call is made alone,
            because the limits are for one call.
    """

    def __init__(self, connections: AsyncConnections, options: Sequence[tuple[str, Any]]) -> None:
        super().__init__(connections, options)
        self._streams = CallStreams(connections)
        limited = any(name.endswith("_message_length") for name, _ in options)
        self._fields = {} if limited else FIELDS

    async def make(
        self, method: str, request: Request, timeout_seconds: float, metadata: Metadata
    ) -> Message:
        """Make a call, and return its response."""
        self._connections.require_open()  # else calls of several event loops could share a stream
        field = self._fields.get(method)
        if field is None or isinstance(request, tuple) or request.ByteSize() > _MAX_BYTES:
            return await super().make(method, request, timeout_seconds, metadata)
        request_id, shared = _without_request_id(metadata)
        # gRPC refuses another id. In a message of the stream it would fail the calls of others, too.
        if request_id.isascii() and (stream := self._streams.choose(shared)):
            end = time.monotonic() + timeout_seconds
            response = await stream.make(field, request, timeout_seconds, request_id)
            if response is not None:
                return response
            timeout_seconds = max(end - time.monotonic(), 0.0)
        return await super().make(method, request, timeout_seconds, metadata)

    def close(self) -> None:
        """End the streams. Not every release of grpcio ends them with the channel."""
        self._streams.close()


def _without_request_id(metadata: Metadata) -> tuple[str, Metadata]:
    """Return the request id, or an empty text, and the metadata that calls of a stream have in common."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY:
            return str(value), tuple(pair for pair in metadata if pair[0] != REQUEST_ID_KEY)
    return "", metadata
