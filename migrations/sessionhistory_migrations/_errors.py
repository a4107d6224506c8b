"""What can go wrong with a migration."""

from __future__ import annotations


class LockTimeoutError(Exception):
    """A table stayed in use for too long; nothing of the step was done, and it can be run again."""
