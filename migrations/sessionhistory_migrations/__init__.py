"""The migrations and their runner. Migrations only go forward, one run at a time."""

from __future__ import annotations

from sessionhistory_migrations._errors import LockTimeoutError
from sessionhistory_migrations._revision import current, head

__all__ = ["LockTimeoutError", "current", "head", "upgrade"]


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate a database; do nothing if it is at the newest revision or a later one.

    Raises:
        LockTimeoutError: a table was in use, or another migration ran, for too long.
        psycopg.Error: the database cannot be reached.
    """
    wanted = head() if revision == "head" else revision
    if (current(url) or "") < wanted:
        from sessionhistory_migrations import _runner  # noqa: PLC0415 - Alembic is rarely needed

        _runner.upgrade(url, revision)
