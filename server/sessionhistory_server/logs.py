"""Logs for people or for machines. They hold no conversation text.

Errors are logged by type and place. Their messages are left out: a driver's can quote rows. Why the database
cannot be used is told in ``store.readiness``.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "console", "json")

# What it says at warning of each lost connection, we say once of the database.
_POOL: Final = "psycopg.pool"
_GRPC: Final = "grpc._cython.cygrpc"
# What it says at error of an answer that came after its caller's deadline; the call's own line has the code.
_UNDELIVERED: Final = "ExecuteBatchError"
# Of event loops that start, at debug.
_LOOPS: Final = ("asyncio", _GRPC)
# Names each of its plugins, at info.
_PLUGINS: Final = "alembic.runtime.plugins"

_MAX_CAUSES: Final = 8  # an error can be its own cause

# What every record has; what else one has are fields of its line.
_OWN: Final = frozenset({*vars(logging.makeLogRecord({})), "taskName"})

_COLOURS: Final = {"DEBUG": 36, "INFO": 32, "WARNING": 33}
_RED: Final = 31

_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))


def bind(**fields: object) -> None:
    """Add fields to every line that is logged from here on in this task."""
    _bound.set({**_bound.get(), **fields})


def bound(name: str) -> str:
    """Return a field that was bound."""
    return str(_bound.get()[name])


def configure(*, level: str, log_format: str) -> None:
    """Send all logs to stderr: as JSON lines, or readable; ``auto`` is readable on a terminal."""
    terminal = sys.stderr.isatty()
    readable = log_format == "console" or (log_format == "auto" and terminal)
    handler = logging.StreamHandler()
    handler.addFilter(_tells_something)
    handler.setFormatter(_ReadableLines(colours=terminal) if readable else _JsonLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


class _JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"timestamp": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(said | _fields(record), default=repr)


class _ReadableLines(logging.Formatter):
    """Time, level and what is said, then the fields."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower():<8}"
        if self._colours:
            level = f"\x1b[{_COLOURS.get(record.levelname, _RED)}m{level}\x1b[0m"
        fields = (f"{name}={value}" for name, value in _fields(record).items())
        return " ".join((_time(record), level, record.getMessage(), *fields))


def _time(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    error = record.exc_info[1] if record.exc_info else None
    return {**_bound.get(), **given, **(describe(error) if error else {})}


def _tells_something(record: logging.LogRecord) -> bool:
    """Return whether a line is of use to those who run the service, at the level that they have chosen."""
    if record.name in {_POOL, _PLUGINS} or _is_undelivered(record):
        return logging.root.isEnabledFor(logging.DEBUG)
    return record.name not in _LOOPS or record.levelno > logging.DEBUG


def _is_undelivered(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return record.name == _GRPC and type(error).__name__ == _UNDELIVERED


def describe(error: BaseException, *, causes: int = _MAX_CAUSES) -> dict[str, Any]:
    """Return what may be logged of an error: its type, its SQLSTATE, where it came from, and its cause."""
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "error": type(error).__name__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if sqlstate := getattr(error, "sqlstate", None):
        described["sqlstate"] = sqlstate
    if error.__cause__ is not None and causes:
        described["cause"] = describe(error.__cause__, causes=causes - 1)
    return described
