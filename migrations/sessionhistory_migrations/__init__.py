"""The migrations, and how they are run: forwards only, one runner at a time."""

from sessionhistory_migrations._runner import LockTimeoutError, current, head, upgrade

__all__ = ["LockTimeoutError", "current", "head", "upgrade"]
