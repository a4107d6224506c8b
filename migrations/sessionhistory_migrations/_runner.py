"""Run Alembic within a program, without an ini file and without its logging."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from sessionhistory_migrations._errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

# The advisory lock of a migration, so that two migrations run one after the other. The number is arbitrary.
_LOCK_KEY: Final = 0x53485F4D49475241

LOCK_TIMEOUT_SECONDS: Final = 10
"""How long a step waits for the lock of a table. Then it gives up, so that others can use the table."""

OTHER_MIGRATION_SECONDS: Final = 600
"""How long a migration waits for another one to end."""

# At this level Alembic logs the steps, and further lines that are not shown.
logging.getLogger("alembic.runtime.migration").addFilter(
    lambda record: record.levelno > logging.INFO or str(record.msg).startswith("Running")
)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate a database; do nothing if it is at the newest revision or a later one.

    Raises:
        LockTimeoutError: a table was in use for longer than ``LOCK_TIMEOUT_SECONDS``, or another migration
            ran for longer than ``OTHER_MIGRATION_SECONDS``.
        psycopg.Error: the database cannot be reached.
    """
    with _connected(url) as connection:
        # The role may have a timeout for the service's statements.
        connection.exec_driver_sql("set statement_timeout = 0")
        with _lock_timeout(connection, OTHER_MIGRATION_SECONDS, "another migration is still running"):
            connection.exec_driver_sql(f"select pg_advisory_lock({_LOCK_KEY})")
        config = _config()
        if _is_newer(connection, config):
            return
        config.attributes["connection"] = connection
        with _lock_timeout(connection, LOCK_TIMEOUT_SECONDS, "a table is in use by a long transaction"):
            # The lock and the timeouts belong to the session. Each step has its own transaction.
            connection.commit()
            command.upgrade(config, revision)


@contextmanager
def _lock_timeout(connection: Connection, seconds: float, cause: str) -> Iterator[None]:
    connection.exec_driver_sql(f"set lock_timeout = {int(seconds * 1_000)}")
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise LockTimeoutError(f"{cause}: end it, then run this again") from error
        raise


def _is_newer(connection: Connection, config: Config) -> bool:
    """Return whether the database has a revision of a later release. Migrations only expand."""
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return revision is not None and revision not in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """Connect with libpq, so that a migration accepts the same URLs as the service."""
    with closing(psycopg.connect(url)) as driver:
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: driver, poolclass=NullPool)
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from error
            raise
