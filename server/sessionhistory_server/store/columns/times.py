"""Convert times to parameters. Postgres returns times in the form of the model: see ``connect.configure``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MIN_MICROS: Final = -63_082_281_600_000_000
_MAX_MICROS: Final = 252_455_615_999_999_999


def timestamp(micros: int | None) -> datetime | None:
    """Return a time of the model as a value that psycopg sends for a timestamptz.

    A time before the year 1 becomes the first time of that year. A time after the year 9999 becomes the last
    time of that year.
    """
    if micros is None:
        return None
    return _EPOCH + timedelta(microseconds=min(max(micros, _MIN_MICROS), _MAX_MICROS))


def micros(time: datetime | None) -> int | None:
    """Return a time as the model has it: the reverse of ``timestamp``."""
    return None if time is None else (time - _EPOCH) // timedelta(microseconds=1)
