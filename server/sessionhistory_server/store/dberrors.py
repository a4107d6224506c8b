"""What Postgres reports, as errors of the service. Recognised by SQLSTATE alone.

Nothing of the driver's text leaves this module: it can quote rows, and rows are conversations.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import psycopg
import psycopg_pool

from sessionhistory_server.errors import (
    DeadlineExceededError,
    ResourceExhaustedError,
    UnavailableError,
    database_unavailable,
    schema_outdated,
)

if TYPE_CHECKING:
    from sessionhistory_server.errors import SessionHistoryError

_log = logging.getLogger(__name__)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE_CLASSES: Final = frozenset({"08", "25", "28", "3D", "53", "57", "58"})
_SCHEMA_OUTDATED: Final = frozenset({"42P01", "42703", "42883"})
_CONFLICT: Final = frozenset({"40001", "40P01", "55P03"})
_QUERY_CANCELED: Final = "57014"


def translate(error: psycopg.Error) -> SessionHistoryError | None:
    """Return our error for the driver's, or ``None`` if it can only be a defect of ours."""
    if isinstance(error, (psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests)):
        return ResourceExhaustedError("all database connections are busy", reason="POOL_EXHAUSTED")
    if error.sqlstate == _QUERY_CANCELED:
        return DeadlineExceededError()
    if error.sqlstate in _SCHEMA_OUTDATED:
        return schema_outdated()
    if error.sqlstate in _CONFLICT:
        return UnavailableError("another transaction was in the way", reason="TRANSACTION_CONFLICT")
    if is_unavailable(error):
        _log.debug("database lost", extra={"sqlstate": error.sqlstate, "error": type(error).__name__})
        return database_unavailable()
    return None


def is_unavailable(error: psycopg.Error) -> bool:
    """Return whether the database cannot be reached or cannot serve, now or at all."""
    if isinstance(error, psycopg_pool.PoolClosed):
        return True
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate[:2] in _UNAVAILABLE_CLASSES and error.sqlstate != _QUERY_CANCELED
