"""Check the options of a client and of its calls, and add the client's defaults."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from sessionhistory._transport.targets import default_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Metadata = tuple[tuple[str, str | bytes], ...]
"""Metadata as gRPC takes it."""

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})

_LONGEST_SECONDS: Final = 100 * 365 * 24 * 3600.0
_METADATA_KEY: Final = re.compile(r"[a-z0-9_.-]+")

_DEFAULTS: Final = (
    # Otherwise all channels of this process to the same server would share a connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config", _SERVICE_CONFIG),
    # After any outage, the client reconnects to a server within seconds. gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def channel_options(target: str, options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the channel arguments for a target: the client's defaults, and the caller's options instead."""
    return [*{**dict(_DEFAULTS), **dict(default_options(target)), **dict(options)}.items()]


def checked_metadata(metadata: Mapping[str, str | bytes]) -> Metadata:
    """Return metadata as gRPC takes it.

    Raises:
        ValueError: HTTP/2 does not allow a key, or its value.
    """
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key):
            raise ValueError(f"metadata: the key {key!r} must be of a-z, 0-9, _, - and .")
        if isinstance(value, bytes) != key.endswith("-bin"):
            raise ValueError(f"metadata: {key!r} must be text, or bytes if its name ends in -bin")
    return tuple(metadata.items())


def checked_seconds(value: float) -> float:
    """Return a timeout, at most a hundred years: gRPC takes a much longer one as one that has passed.

    Raises:
        ValueError: it is not a number above zero.
    """
    try:
        fits = 0 < value < math.inf
    except TypeError:
        fits = False
    if not fits:
        raise ValueError("timeout_seconds: must be a number of seconds above 0")
    return min(value, _LONGEST_SECONDS)
