"""The channels of both clients."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_DEFAULTS: Final = (
    ("grpc.service_config", _SERVICE_CONFIG),
    # A server is found again within seconds, however long it was away. gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

Channel = grpc.Channel
AsyncChannel = grpc.aio.Channel


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> Channel:
    """Return a channel for threads."""
    if credentials is None:
        return grpc.insecure_channel(target, _with_defaults(options))
    return grpc.secure_channel(target, credentials, _with_defaults(options))


def open_async_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> AsyncChannel:
    """Return a channel for the running event loop."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, _with_defaults(options))
    return grpc.aio.secure_channel(target, credentials, _with_defaults(options))


def ended_by_close(error: BaseException) -> bool:
    """Return whether a call failed as it does when its channel is closed.

    In asyncio that looks like a cancellation, which it is not: nobody has cancelled the task.
    """
    match error:
        case asyncio.CancelledError():
            task = asyncio.current_task()
            return task is not None and not task.cancelling()
        case grpc.RpcError():
            return bool(error.code() is grpc.StatusCode.CANCELLED)
        case _:
            return isinstance(error, ValueError | grpc.aio.UsageError)


def _with_defaults(options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [*{**dict(_DEFAULTS), **dict(options)}.items()]
