"""What the commands that use a database share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import psycopg

import sessionhistory_migrations as migrations
from sessionhistory_server.config import variable
from sessionhistory_server.store.connecting import conninfo
from sessionhistory_server.store.reasons import reason

if TYPE_CHECKING:
    from collections.abc import Iterator


def required(database_url: str | None) -> str:
    """Return a URL that must be given.

    Raises:
        click.UsageError: it is missing, or no valid URL.
    """
    if not database_url:
        raise click.UsageError(
            f"give --database-url or {variable('database_url')}; `serve` migrates its embedded database by"
            " itself, and logs its URL"
        )
    return valid(database_url)


def valid(database_url: str) -> str:
    """Judge a URL before anything uses it: the driver's errors quote it, and it may hold a password.

    Raises:
        click.UsageError: it is no valid URL.
    """
    try:
        conninfo(database_url)
    except psycopg.ProgrammingError:
        raise click.UsageError(
            f"--database-url ({variable('database_url')}) is no valid libpq URL: it looks like"
            " postgresql://user:password@host:5432/database, with special characters as %-codes"
        ) from None
    return database_url


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what can go wrong with a database into one line that says what to do."""
    try:
        yield
    except migrations.LockTimeoutError as error:
        raise click.ClickException(
            "a table is in use by a long transaction: end it, then run this again"
        ) from error
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise click.ClickException(f"cannot use the database: {reason(error)}") from error
