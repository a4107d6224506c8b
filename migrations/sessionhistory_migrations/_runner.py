"""Run Alembic within a program, without an ini file and without its logging."""

from __future__ import annotations

import logging
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from sessionhistory_migrations import _citus, _invalid_indexes, _limits, _revision
from sessionhistory_migrations._errors import LockTimeoutError
from sessionhistory_migrations._migrated import Migrated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from sessionhistory_migrations._citus import Driver

# The advisory lock of a migration, so that two migrations run one after the other. The number is arbitrary.
_LOCK_KEY: Final = 0x53485F4D49475241
_TRY_LOCK: Final = f"select pg_try_advisory_lock({_LOCK_KEY})"
_TRY_SECONDS: Final = 0.1

# At this level Alembic logs the steps, and further lines that are not shown.
logging.getLogger("alembic.runtime.migration").addFilter(
    lambda record: record.levelno > logging.INFO or str(record.msg).startswith("Running")
)


def upgrade(url: str, revision: str = "head", *, distribute: bool = False) -> Migrated:
    """Migrate a database, build its invalid indexes again, and distribute its tables if it is distributed.

    A database of a later release is left as it is.

    Args:
        url: The database. Its session must not move to other clients.
        revision: The revision to migrate to.
        distribute: Whether to distribute a database whose tables are local. An empty database is distributed
            in the steps that create its tables, another one after the last step.

    Raises:
        CitusError: the database is a worker, or ``distribute`` is true and it has no Citus or no nodes.
        LockTimeoutError: a table was in use, or another migration ran, for too long (``_limits``).
        psycopg.Error: the database cannot be reached, or refused a statement.
    """
    with closing(psycopg.connect(url, autocommit=True)) as connection, _explained():
        _limits.limit_session(connection)
        _wait_for_others(connection)
        _citus.require_coordinator(connection, with_nodes=distribute)
        before = _revision.read(connection)
        if _is_of_later_release(before):
            return Migrated(before, before)
        return _run(connection, before, revision, distribute=distribute)


def _run(connection: Driver, before: str | None, revision: str, *, distribute: bool) -> Migrated:
    rebuilt = _invalid_indexes.rebuild(connection)
    distributed: list[str] = []

    def after_step() -> None:
        if (distribute and before is None) or _citus.is_distributed(connection):
            distributed.extend(_citus.distribute(connection))

    _run_steps(connection, revision, after_step)
    if distribute or _citus.is_distributed(connection):
        with connection.transaction():
            _limits.limit_transaction(connection)
            distributed.extend(_citus.distribute(connection))
        _citus.remove_local_rows(connection)
    after = _revision.read(connection)
    return Migrated(before, after, rebuilt, distributed, _citus.is_distributed(connection))


def _run_steps(connection: Driver, revision: str, after_step: Callable[[], None]) -> None:
    """Run Alembic, each step in a transaction that ends with a call of ``after_step``."""
    config = _config()
    config.attributes["after_step"] = after_step
    connection.autocommit = False  # SQLAlchemy begins and ends the transactions
    with _sqlalchemy(connection) as config.attributes["connection"]:
        command.upgrade(config, revision)
    connection.autocommit = True


@contextmanager
def _sqlalchemy(driver: Driver) -> Iterator[Connection]:
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: driver, poolclass=StaticPool)
    sqlalchemy.event.listen(engine, "begin", lambda _: _begin(driver))
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _cause(error) from error


def _begin(driver: Driver) -> None:
    if not driver.autocommit:
        _limits.limit_transaction(driver)


def _cause(error: BaseException) -> BaseException:
    """Return the driver's error, which may have raised others of SQLAlchemy on its way."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, DBAPIError) and isinstance(found.orig, psycopg.Error):
            return found.orig
        found = found.__context__
    return error


def _wait_for_others(connection: Driver) -> None:
    """Wait for other migrations, in no transaction, because their builds of indexes wait for transactions."""
    deadline = time.monotonic() + _limits.OTHER_MIGRATION_SECONDS
    while connection.execute(_TRY_LOCK.encode()).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise LockTimeoutError("another migration is still running: end it, then run this again")
        time.sleep(_TRY_SECONDS)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise LockTimeoutError(
            "a table is in use by a long transaction: end it, then run this again"
        ) from error


def _is_of_later_release(revision: str | None) -> bool:
    """Return whether a revision is one of a later release. Migrations only expand."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
