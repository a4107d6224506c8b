"""Find the revision of a database, and the newest revision, without Alembic, which is slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from sessionhistory_migrations import _citus, _invalid_indexes

if TYPE_CHECKING:
    from sessionhistory_migrations._citus import Driver

_VERSIONS: Final = Path(__file__).with_name("versions")

# to_regclass returns null for an empty database, which has no such table and is no error.
_HAS_REVISION: Final = "select to_regclass('alembic_version') is not null"
_REVISION: Final = "select version_num from alembic_version"

# Another client may hold a lock on the table. The limit is for the transaction alone, because of poolers.
_LIMIT: Final = "set local statement_timeout = '10s'"


def head() -> str:
    """Return the newest revision of this release. The files of revisions begin with their numbers."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def current(url: str) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute(_LIMIT)
        return read(connection)


def settled(url: str) -> str | None:
    """Return the revision of a database in which nothing is left to do at that revision, else ``None``.

    Work may be left if an index is invalid, or if Citus is installed.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    with psycopg.connect(url, prepare_threshold=None) as connection:
        connection.execute(_LIMIT)
        if _citus.has_extension(connection) or any(_invalid_indexes.find(connection)):
            return None
        return read(connection)


def read(connection: Driver) -> str | None:
    """Return the revision of a database; ``None`` if it was never migrated."""
    if connection.execute(_HAS_REVISION).fetchone() != (True,):
        return None
    found = connection.execute(_REVISION).fetchone()
    return str(found[0]) if found else None
