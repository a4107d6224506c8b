"""The one error of the embedded database."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot run; the message says in one line what to do next."""
