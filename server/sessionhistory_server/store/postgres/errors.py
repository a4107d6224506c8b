"""Translate the driver's errors to the service's errors by their SQLSTATE.

The driver's text never leaves this module: it can quote rows, and rows contain conversations.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import psycopg
import psycopg_pool

from sessionhistory_server.errors import (
    DeadlineExceededError,
    ResourceExhaustedError,
    database_unavailable,
    schema_outdated,
    transaction_conflict,
)

if TYPE_CHECKING:
    from sessionhistory_server.errors import SessionHistoryError

_log = logging.getLogger(__name__)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE_CLASSES: Final = frozenset({"08", "25", "28", "3D", "53", "57", "58"})
_SCHEMA_OUTDATED: Final = frozenset({"42P01", "42703", "42883"})
_CONFLICT: Final = frozenset({"40001", "40P01", "55P03"})
_QUERY_CANCELED: Final = "57014"
_TOO_MANY_CONNECTIONS: Final = "53300"
# No rights, a read-only transaction, a failing device. The class 53 covers all lacks of resources.
_REFUSED_WRITES: Final = frozenset({"42501", "25006", "58030"})
_INSUFFICIENT_RESOURCES: Final = "53"
# Citus reports these when a commit has lost a node, or a statement the connection to one.
_INTERNAL_ERROR: Final = "XX000"
_LOST_NODE: Final = frozenset({_INTERNAL_ERROR, "58030"})
# The severity of an error that ends the session.
_ENDS_SESSION: Final = frozenset({"FATAL", "PANIC"})


def translate(error: psycopg.Error, *, is_distributed: bool = False) -> SessionHistoryError | None:
    """Return the service's error for an error of the driver; ``None`` if that can only be a defect.

    Args:
        error: The error.
        is_distributed: Whether the connection found that Citus has distributed the sessions.
    """
    if isinstance(error, (psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests)):
        return ResourceExhaustedError("all database connections are busy", reason="POOL_EXHAUSTED")
    if error.sqlstate == _QUERY_CANCELED:
        return DeadlineExceededError()
    if error.sqlstate in _SCHEMA_OUTDATED:
        return schema_outdated()
    if error.sqlstate in _CONFLICT:
        return transaction_conflict()
    if is_unavailable(error, is_distributed=is_distributed):
        # An internal error of Postgres or Citus may be the loss of a node, or a defect.
        level = logging.WARNING if error.sqlstate == _INTERNAL_ERROR else logging.DEBUG
        _log.log(level, "database lost", extra={"sqlstate": error.sqlstate, "error": type(error).__name__})
        return database_unavailable()
    return None


def is_unavailable(error: psycopg.Error, *, is_distributed: bool = False) -> bool:
    """Return whether the database, or the node of a distributed one, cannot be reached or cannot serve."""
    if isinstance(error, psycopg_pool.PoolClosed):
        return True
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError))
    if is_distributed and error.sqlstate in _LOST_NODE:
        return True
    return error.sqlstate[:2] in _UNAVAILABLE_CLASSES and error.sqlstate != _QUERY_CANCELED


def is_of_node(error: psycopg.Error) -> bool:
    """Return whether the session goes on, so that another node is the cause."""
    return error.sqlstate is not None and error.diag.severity_nonlocalized not in _ENDS_SESSION


def is_refused_write(error: psycopg.Error, *, is_distributed: bool = False) -> bool:
    """Return whether a write failed because the database accepts no writes now. It may still answer reads."""
    sqlstate = error.sqlstate or ""
    if sqlstate == _TOO_MANY_CONNECTIONS or (is_distributed and sqlstate in _LOST_NODE):
        return False
    return sqlstate in _REFUSED_WRITES or sqlstate.startswith(_INSUFFICIENT_RESOURCES)
