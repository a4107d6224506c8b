"""Convert times and durations, which are ``Timestamp`` and ``Duration`` in the contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sessionhistory._codec.fields import invalid_field

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode_time(value: object, path: str) -> Timestamp | None:
    """Encode a time, which must have a time zone."""
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise invalid_field(path, "must be a datetime with a time zone")
    microseconds = (value - _EPOCH) // _MICROSECOND
    return Timestamp(**_parts(microseconds))


def decode_time(stamp: Timestamp) -> datetime:
    """Decode a time that is always set."""
    return _EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1_000)


def decode_optional_time(source: Any, name: str) -> datetime | None:  # noqa: ANN401 - a field of any message
    """Decode a time of a message, ``None`` if it is not set."""
    return decode_time(getattr(source, name)) if source.HasField(name) else None


def encode_duration(value: timedelta | None, path: str) -> Duration | None:
    """Encode a duration."""
    if value is None:
        return None
    try:
        microseconds = value // _MICROSECOND
    except TypeError:
        raise invalid_field(path, "must be a timedelta") from None
    return Duration(**_parts(microseconds))


def _parts(microseconds: int) -> dict[str, int]:
    """Return the fields of ``Timestamp`` and of ``Duration``."""
    return {"seconds": microseconds // 1_000_000, "nanos": microseconds % 1_000_000 * 1_000}
