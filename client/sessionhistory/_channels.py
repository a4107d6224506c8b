"""The channels of both clients."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_METADATA_KEY: Final = re.compile(r"[a-z0-9_.-]+")

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


def running_loop() -> object:
    """Return what a channel of asyncio belongs to."""
    return asyncio.get_running_loop()


def no_loop() -> object:
    """Return what a channel for threads belongs to: nothing."""
    return None


def sendable(metadata: Mapping[str, str | bytes]) -> tuple[tuple[str, str | bytes], ...]:
    """Return metadata as gRPC takes it.

    Raises:
        ValueError: a key, or the value of one, is not as HTTP/2 wants it.
    """
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key):
            raise ValueError(f"metadata: the key {key!r} must be of a-z, 0-9, _, - and .")
        if isinstance(value, bytes) != key.endswith("-bin"):
            raise ValueError(f"metadata: {key!r} must be text, or bytes if its name ends in -bin")
    return tuple(metadata.items())


def seconds(value: float) -> float:
    """Return a time that a call may take.

    Raises:
        ValueError: it is no number above zero.
    """
    try:
        fits = 0 < value < math.inf
    except TypeError:
        fits = False
    if not fits:
        raise ValueError("timeout_seconds: must be a number of seconds above 0")
    return value


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
            return isinstance(error, ValueError)


def _with_defaults(options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [*{**dict(_DEFAULTS), **dict(options)}.items()]
