"""The errors of a migration."""

from __future__ import annotations


class LockTimeoutError(Exception):
    """A lock was held for too long. The step was undone, and can be run again."""
