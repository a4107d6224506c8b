"""Convert times. The service counts whole microseconds since the start of 2000, as Postgres does."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

MICROS: Final = 1_000_000
"""Microseconds of a second."""
NANOS: Final = 1_000_000_000
"""Nanoseconds of a second."""
EPOCH_SECONDS: Final = 946_684_800
"""The start of 2000, in seconds since the Unix epoch."""


def micros(value: Timestamp, *, round_up: bool = False) -> int:
    """Return a time in the service's microseconds, rounded down unless ``round_up`` is set."""
    nanos = value.nanos + 999 if round_up else value.nanos
    return (value.seconds - EPOCH_SECONDS) * MICROS + nanos // 1_000


def after(request: Any, field: str) -> int | None:  # noqa: ANN401 - one of several request types
    """Return an exclusive lower bound, rounded so that it selects the same stored times."""
    return micros(getattr(request, field)) if request.HasField(field) else None


def before(request: Any, field: str) -> int | None:  # noqa: ANN401 - one of several request types
    """Return an exclusive upper bound, rounded so that it selects the same stored times."""
    return micros(getattr(request, field), round_up=True) if request.HasField(field) else None


def timestamp(time: int | None) -> Timestamp | None:
    """Return a time of the service as a timestamp."""
    if time is None:
        return None
    seconds, rest = divmod(time, MICROS)
    return Timestamp(seconds=seconds + EPOCH_SECONDS, nanos=rest * 1_000)


def unix_nanos(value: Timestamp) -> int:
    """Return a time in nanoseconds since the Unix epoch."""
    return value.seconds * NANOS + value.nanos


def unix_timestamp(nanos: int) -> Timestamp:
    """Return a time in nanoseconds since the Unix epoch as a timestamp."""
    seconds, rest = divmod(nanos, NANOS)
    return Timestamp(seconds=seconds, nanos=rest)
