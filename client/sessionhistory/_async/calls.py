"""Calls with one response, each in its own request."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from google.protobuf.message import Message

    from sessionhistory._async.connections import AsyncConnections
    from sessionhistory._transport.options import Metadata

    Request = Message | tuple[Message, ...]


class AsyncCalls:
    """The calls of a client, each in its own request.

    Args:
        connections: The connections to make them on.
        _options: The options of the channels. Only calls that share a request depend on them.
    """

    def __init__(self, connections: AsyncConnections, _options: Sequence[tuple[str, Any]]) -> None:
        self._connections = connections

    async def make(
        self, method: str, request: Request, timeout_seconds: float, metadata: Metadata
    ) -> Message:
        """Make a call, and return its response."""
        with self._connections.lend() as stub:
            response = await getattr(stub, method)(_sent(request), timeout=timeout_seconds, metadata=metadata)
        return cast("Message", response)

    def close(self) -> None:
        """Do nothing: closing a channel ends its calls."""


def _sent(request: Request) -> Message | Iterator[Message]:
    return iter(request) if isinstance(request, tuple) else request
