"""Find the database of a command that changes it without a server."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

import sessionhistory_migrations as migrations
from sessionhistory_cli.server.database_url import explain_database_errors, valid_url
from sessionhistory_server import embedded
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.observability import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def reached(database_url: str | None, data_dir: Path | None, *, creates: bool) -> Iterator[str]:
    """Yield the URL of a database, or of the embedded Postgres of a data directory.

    Args:
        database_url: The URL.
        data_dir: The data directory, in place of a URL.
        creates: Whether to create a data directory that does not exist.

    Raises:
        click.ClickException: the database does not exist or cannot be used, or refuses a change.
    """
    if data_dir is not None and not creates and not data_dir.exists():
        raise click.UsageError(f"there is no data directory {data_dir}: `session-history serve` creates it")
    logs.configure(level="warning", log_format="auto")
    with ExitStack() as stack:
        stack.enter_context(_explain_errors())
        if data_dir is None:
            yield valid_url(database_url or "")
            return
        url, is_own = stack.enter_context(embedded.reached(data_dir))
        if is_own:
            migrations.upgrade(url)
        yield url


@contextmanager
def _explain_errors() -> Iterator[None]:
    try:
        with explain_database_errors():
            yield
    except (SessionHistoryError, embedded.EmbeddedPostgresError) as error:
        raise click.ClickException(str(error)) from error
