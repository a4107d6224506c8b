"""Logs for people or for machines. They hold no conversation text.

Errors are logged by type and place. Their messages are left out: a driver's can quote rows. Why the database
cannot be used is told in ``store.readiness``.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "console", "json")

# What it says at warning of each lost connection, we say once of the database.
_POOL: Final = "psycopg.pool"
# Of event loops that start, at debug.
_LOOPS: Final = ("asyncio", "grpc._cython.cygrpc")

_MAX_CAUSES: Final = 8  # an error can be its own cause

bind = structlog.contextvars.bind_contextvars
"""Add fields to every line that is logged from here on in this task."""


def configure(*, level: str, log_format: str) -> None:
    """Send all logs to stderr: as JSON lines, or readable; ``auto`` is readable on a terminal."""
    terminal = sys.stderr.isatty()
    readable = log_format == "console" or (log_format == "auto" and terminal)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=terminal) if readable else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.addFilter(_tells_something)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso"),
                _error_without_message,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _tells_something(record: logging.LogRecord) -> bool:
    """Return whether a line is of use to those who run the service, at the level that they have chosen."""
    if record.name == _POOL:
        return logging.root.isEnabledFor(logging.DEBUG)
    return record.name not in _LOOPS or record.levelno > logging.DEBUG


def _error_without_message(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    error = record.exc_info[1] if record is not None and record.exc_info else None
    event.pop("exc_info", None)
    if error is not None:
        event.update(describe(error))
    return event


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
