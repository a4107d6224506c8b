"""The migrations, and how they are run: forwards only, one runner at a time."""

from __future__ import annotations

from sessionhistory_migrations._errors import LockTimeoutError
from sessionhistory_migrations._revision import current, head

__all__ = ["LockTimeoutError", "current", "head", "upgrade"]


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate a database; do nothing if it is there already, or further.

    Raises:
        LockTimeoutError: a table was in use for longer than ``LOCK_TIMEOUT_SECONDS``.
        psycopg.Error: the database cannot be reached.
    """
    wanted = head() if revision == "head" else revision
    if (current(url) or "") < wanted:
        from sessionhistory_migrations import _runner  # noqa: PLC0415 - with Alembic, mostly not needed

        _runner.upgrade(url, revision)
