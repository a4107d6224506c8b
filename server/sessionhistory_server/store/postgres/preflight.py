"""Check a database before a command uses it, and explain in one line why it cannot be used."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sessionhistory_server.errors import database_unavailable
from sessionhistory_server.store.postgres.connect import connect, conninfo
from sessionhistory_server.store.postgres.database_state import DatabaseState, probe
from sessionhistory_server.store.postgres.failure_reason import failure_reason
from sessionhistory_server.store.postgres.poolers import SessionsMoveError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)


class InvalidUrlError(Exception):
    """A URL cannot be used. The message continues the name of the setting, and does not quote the URL."""


class UnusableDatabaseError(Exception):
    """A database cannot be used. The message is one line, without secrets."""


def check_url(url: str, *, pooled: bool) -> None:
    """Check a URL before it is used: the driver's errors quote it, and it may contain a password.

    Args:
        url: The URL.
        pooled: Whether it leads through a pooler.

    Raises:
        InvalidUrlError: the URL is not valid, or not possible with a pooler.
    """
    try:
        conninfo(url)
    except psycopg.ProgrammingError:
        raise InvalidUrlError(
            "is no valid libpq URL: it looks like postgresql://user:password@host:5432/database, with special"
            " characters as %-codes"
        ) from None
    if pooled and conninfo_to_dict(url).get("options"):
        raise InvalidUrlError(
            "has options=, which poolers refuse: store such settings with `alter role … in database … set …`"
        )


async def refuse_moves(url: str, *, if_reachable: bool = False) -> None:
    """Refuse a pooler that moves sessions of Postgres between its clients.

    Args:
        url: The URL of the database.
        if_reachable: Accept a database that cannot be reached.

    Raises:
        SessionsMoveError: the URL leads through such a pooler.
        psycopg.Error: the database cannot be reached.
    """
    try:
        await (await connect(url)).close()
    except SessionsMoveError:
        raise
    except (psycopg.Error, OSError) as error:
        if not if_reachable:
            raise
        _log.debug("the database cannot be reached at the start", extra={"error": type(error).__name__})


async def require_ready(url: str, *, pooled: bool = False) -> None:
    """Require that a database can be used.

    Args:
        url: The URL of the database.
        pooled: Whether it leads through a pooler that may move sessions.

    Raises:
        psycopg.Error: the database cannot be reached.
        UnavailableError: it takes no writes, or its schema is missing or too old.
    """
    connection = await connect(url, pooled=pooled)
    try:
        found = await probe(connection)
    finally:
        await connection.close()
    if found.state is not DatabaseState.READY:
        raise database_unavailable(found.state.value)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Turn an error of the driver into an error that explains why the database cannot be used.

    Raises:
        UnusableDatabaseError: a statement or a connection failed.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.ProgrammingError, psycopg.InternalError) as error:
        raise UnusableDatabaseError(failure_reason(error)) from error
