"""Write the logs, for people or for machines. Logs contain no conversation text.

Errors are logged by type and place, without their messages: a message of the database driver can quote rows.
``store.postgres`` itself logs the reason why the database cannot be used.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sessionhistory_server import call_context

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "console", "json")

# psycopg_pool warns of each lost connection. The service logs the loss of the database once.
_POOL: Final = "psycopg.pool"
_GRPC: Final = "grpc._cython.cygrpc"
# gRPC logs an error for an answer after its caller's deadline. The log line of the call already has the code.
_UNDELIVERED: Final = "ExecuteBatchError"
# gRPC logs an error for metadata that is not UTF-8, and quotes it: it may be a caller's credentials.
_BAD_METADATA: Final = "Invalid encoding"
_ASYNCIO: Final = "asyncio"
# Behind its event asyncio quotes arguments, and the error of a task. They may contain a conversation.
_QUOTED: Final = re.compile(r"\s*[\n(<].*", re.DOTALL)
# Both log the start of an event loop at debug.
_LOOPS: Final = (_ASYNCIO, _GRPC)
# Alembic logs each of its plugins at info.
_PLUGINS: Final = "alembic.runtime.plugins"

_MAX_CAUSES: Final = 8  # an error may be its own cause, so that the chain never ends

# The attributes of every record. All others are fields of the line.
_RECORD_ATTRIBUTES: Final = frozenset({*vars(logging.makeLogRecord({})), "taskName"})

_COLOURS: Final = {"DEBUG": 36, "INFO": 32, "WARNING": 33}
_RED: Final = 31

_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=MappingProxyType({}))


def bind(**fields: object) -> None:
    """Add fields to every line that this task logs from now on."""
    _bound.set({**_bound.get(), **fields})


def configure(*, level: str, log_format: str) -> None:
    """Send all logs to stderr, as JSON lines or for people; ``auto`` is for people on a terminal."""
    terminal = sys.stderr.isatty()
    readable = log_format == "console" or (log_format == "auto" and terminal)
    handler = logging.StreamHandler()
    handler.addFilter(_is_useful)
    handler.setFormatter(_ReadableLines(colours=terminal) if readable else _JsonLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


class _JsonLines(logging.Formatter):
    """A formatter that writes a record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"timestamp": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | _fields(record), default=repr)


class _ReadableLines(logging.Formatter):
    """A formatter that writes the time, the level and the event of a record, then its fields."""

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
    given = {name: value for name, value in vars(record).items() if name not in _RECORD_ATTRIBUTES}
    error = record.exc_info[1] if record.exc_info else None
    call = call_context.current()
    named = {"request_id": call.request_id, "method": call.method} if call.method else {}
    return {**_bound.get(), **named, **given, **(describe(error) if error else {})}


def _is_useful(record: logging.LogRecord) -> bool:
    """Return whether a record is useful to an operator at the level of the log."""
    if record.name == _GRPC and str(record.msg).startswith(_BAD_METADATA):
        _hide(record)
        return logging.root.isEnabledFor(logging.DEBUG)
    if record.name == _ASYNCIO:
        record.msg, record.args = _QUOTED.sub("", record.getMessage()), ()
    if record.name in {_POOL, _PLUGINS} or _is_undelivered(record):
        return logging.root.isEnabledFor(logging.DEBUG)
    return record.name not in _LOOPS or record.levelno > logging.DEBUG


def _hide(record: logging.LogRecord) -> None:
    """Replace the text of a record that quotes metadata, which may be a credential."""
    record.msg, record.args = "metadata is not UTF-8", ()
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"


def _is_undelivered(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return record.name == _GRPC and type(error).__name__ == _UNDELIVERED


def describe(error: BaseException, *, causes: int = _MAX_CAUSES) -> dict[str, Any]:
    """Return the parts of an error that may be logged: its type, its SQLSTATE, its place and its cause."""
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
