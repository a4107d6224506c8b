"""The channels of both clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

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


def _with_defaults(options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [("grpc.service_config", _SERVICE_CONFIG), *options]
