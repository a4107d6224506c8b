"""Runs Alembic from within a program: no ini file, no logging of its own."""

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

# Held while migrating, so that two at once run one after the other. Any constant would do.
_LOCK_KEY: Final = 0x53485F4D49475241

# How long a step waits for a table that is in use, before it gives up and lets the others through.
LOCK_TIMEOUT_SECONDS: Final = 10

# Of what Alembic logs at this level only the steps that it takes are for people.
logging.getLogger("alembic.runtime.migration").addFilter(
    lambda record: record.levelno > logging.INFO or str(record.msg).startswith("Running")
)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate a database; do nothing if it is there already, or further.

    Raises:
        LockTimeoutError: a table was in use for longer than ``LOCK_TIMEOUT_SECONDS``.
        psycopg.Error: the database cannot be reached.
    """
    with _connected(url) as connection:
        connection.exec_driver_sql(f"select pg_advisory_lock({_LOCK_KEY})")
        connection.exec_driver_sql(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        config = _config()
        if _is_newer(connection, config):
            return
        # The lock and the timeout belong to the session; each step then has a transaction of its own.
        connection.commit()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
        except OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise LockTimeoutError from error
            raise


def _is_newer(connection: Connection, config: Config) -> bool:
    """Whether the database has a revision that only a later release knows. Migrations only expand."""
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
    """Connect as libpq does, so that every URL that serves also migrates."""
    with closing(psycopg.connect(url)) as driver:
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: driver, poolclass=NullPool)
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from error
            raise
