"""The migrations and their runner. Migrations only go forward, one run at a time."""

from __future__ import annotations

from sessionhistory_migrations._errors import CitusError, LockTimeoutError, MigrationError
from sessionhistory_migrations._migrated import Migrated
from sessionhistory_migrations._revision import current, head, settled

__all__ = ["CitusError", "LockTimeoutError", "Migrated", "MigrationError", "current", "head", "upgrade"]


def upgrade(url: str, revision: str = "head", *, distribute: bool = False) -> Migrated:
    """Migrate a database, and build its invalid indexes again; leave one of a later release as it is.

    Args:
        url: The database. Its session must not move to other clients.
        revision: The revision to migrate to.
        distribute: Whether to distribute the tables with Citus. Those of a database that is distributed
            already are distributed in any case.

    Raises:
        CitusError: the database is a worker, or ``distribute`` is true and it has no Citus or no nodes.
        LockTimeoutError: a table was in use, or another migration ran, for too long.
        psycopg.Error: the database cannot be reached, or refused a statement.
    """
    wanted = head() if revision == "head" else revision
    if not distribute and (settled_at := settled(url) or "") >= wanted:
        return Migrated(settled_at, settled_at)
    from sessionhistory_migrations import _runner  # noqa: PLC0415 - Alembic takes long to import

    return _runner.upgrade(url, revision, distribute=distribute)
