"""The errors of a migration."""

from __future__ import annotations


class MigrationError(Exception):
    """A migration that did not happen, or not as a whole. It can be run again; its text names the remedy."""


class LockTimeoutError(MigrationError):
    """A lock was held for too long. The step was undone, and can be run again."""


class CitusError(MigrationError):
    """The database cannot be distributed, or is not the one to migrate. Nothing was done."""
