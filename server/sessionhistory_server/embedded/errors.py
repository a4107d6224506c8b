"""The error of the embedded Postgres."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run. The message is one line, with the remedy."""
