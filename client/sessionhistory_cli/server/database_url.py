"""Check the database's URL, and explain why a database cannot be used."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

import sessionhistory_migrations as migrations
from sessionhistory_server.config import flag, variable
from sessionhistory_server.store.postgres.preflight import (
    InvalidUrlError,
    UnusableDatabaseError,
    check_url,
    explained_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def required_url(database_url: str | None, pooler: str | None = None) -> str:
    """Return the database URL, which is required.

    Raises:
        click.UsageError: the URL is missing, not valid, or not possible with this pooler.
    """
    if not database_url:
        raise click.UsageError(
            f"give --database-url or {variable('database_url')}; `serve` migrates its embedded database by"
            " itself, and logs its URL"
        )
    return valid_url(database_url, pooler)


def valid_url(database_url: str, pooler: str | None = None, *, setting: str = "database_url") -> str:
    """Check a URL, and return it.

    Args:
        database_url: The URL.
        pooler: The kind of pooler that it leads through, if any.
        setting: The setting that contains the URL.

    Raises:
        click.UsageError: the URL is not valid, or not possible with this pooler.
    """
    try:
        check_url(database_url, pooled=pooler is not None)
    except InvalidUrlError as error:
        raise click.UsageError(f"{flag(setting)} ({variable(setting)}) {error}") from None
    return database_url


@contextmanager
def explain_database_errors() -> Iterator[None]:
    """Turn an error of the database into one line with the reason and the remedy."""
    try:
        with explained_errors():
            yield
    except migrations.MigrationError as error:
        raise click.ClickException(str(error)) from error
    except UnusableDatabaseError as error:
        raise click.ClickException(f"cannot use the database: {error}") from error
