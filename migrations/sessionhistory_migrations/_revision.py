"""Which revision a database has, and which is the newest: without Alembic, which takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg

_VERSIONS: Final = Path(__file__).with_name("versions")

# to_regclass: an empty database has no such table, and that is an answer, not an error.
_HAS_REVISION: Final = "select to_regclass('alembic_version') is not null"
_REVISION: Final = "select version_num from alembic_version"


def head() -> str:
    """Return the newest revision of this release: the files are called by their numbers."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def current(url: str) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute(_HAS_REVISION).fetchone() != (True,):
            return None
        found = connection.execute(_REVISION).fetchone()
    return str(found[0]) if found else None
