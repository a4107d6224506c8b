"""Find the state of the database: whether it answers, accepts writes, and has a schema that is new enough."""

from __future__ import annotations

import enum
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sessionhistory_server.errors import database_unavailable, schema_outdated
from sessionhistory_server.store.postgres.failure_reason import failure_reason
from sessionhistory_server.store.postgres.trial_write import write_failure

if TYPE_CHECKING:
    from sessionhistory_server.errors import UnavailableError
    from sessionhistory_server.store.postgres.connection import Connection

MINIMUM_POSTGRES: Final = 15_00_00
"""In the form of ``server_version_num``."""

MINIMUM_REVISION: Final = "0013"
"""The oldest schema that this release runs on. It also runs on newer schemas, which only add to it."""

_log = logging.getLogger(__name__)

# libpq also knows the version, but returns 0 if the connection is lost. to_regclass: the table is missing in
# an empty database, which must not be an error.
_LOOK: Final = """
select current_setting('server_version_num')::int, to_regclass('alembic_version') is not null,
       pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'
"""
_REVISION: Final = "select version_num from alembic_version"


class DatabaseState(enum.Enum):
    """The state that a probe finds. Its value is a description for operators."""

    READY = "ready"
    READS_ONLY = "takes no writes, only reads are served"
    UNAVAILABLE = "cannot be used"
    UNSUPPORTED = "Postgres 15 or later is needed"
    SCHEMA_MISSING = "no schema yet: run `session-history migrate`"
    SCHEMA_OUTDATED = "the database's schema is too old: run `session-history migrate`"

    @property
    def is_served(self) -> bool:
        """Whether calls are served in this state: all calls, or only reads."""
        return self in {DatabaseState.READY, DatabaseState.READS_ONLY}

    def refusal(self) -> UnavailableError:
        """Return the error for calls in a state that is not served."""
        if self in {DatabaseState.SCHEMA_MISSING, DatabaseState.SCHEMA_OUTDATED}:
            return schema_outdated()
        return database_unavailable(self.value)


class Finding(NamedTuple):
    """A state, and the reason if the state is not READY. The reason is for operators, not for callers."""

    state: DatabaseState
    reason: str = ""

    @classmethod
    def of(cls, error: Exception) -> Finding:
        """Return the finding for a failed connection or probe."""
        return cls(DatabaseState.UNAVAILABLE, failure_reason(error))

    def __str__(self) -> str:
        """Return one line for operators."""
        said = self.state.value
        return f"{said}: {self.reason} (see `session-history check`)" if self.reason else said


class Journal:
    """A log of the changes of the database's state, with the time for which it was not ready."""

    def __init__(self) -> None:
        self._away_since: float | None = None

    def write(self, found: Finding) -> None:
        """Log a finding that differs from the last one."""
        if found.state is not DatabaseState.READY:
            self._away_since = self._away_since or time.monotonic()
            _log.error("database: %s", found)
        elif found.reason:
            _log.warning("database: %s", found)
        elif self._away_since is None:
            _log.info("database: %s", found)
        else:
            seconds = time.monotonic() - self._away_since
            self._away_since = None
            _log.info("database: %s, after %.1f seconds without it", found, seconds)


async def probe(connection: Connection) -> Finding:
    """Return the state of the database as reads on a connection find it; never UNAVAILABLE.

    Raises:
        psycopg.Error: the connection is broken.
    """
    ((version, has_revision, is_standby, is_read_only),) = await connection.fetch(_LOOK, {})
    if int(str(version)) < MINIMUM_POSTGRES:
        return Finding(DatabaseState.UNSUPPORTED)
    revision = await connection.fetch(_REVISION, {}) if has_revision else []
    if not revision:
        return Finding(DatabaseState.SCHEMA_MISSING)
    if str(revision[0][0]) < MINIMUM_REVISION:
        return Finding(DatabaseState.SCHEMA_OUTDATED)
    if is_standby:
        return Finding(DatabaseState.READS_ONLY, "it is a standby: connect to the primary, or promote it")
    if is_read_only:
        advice = "its sessions are read-only: see default_transaction_read_only"
        return Finding(DatabaseState.READS_ONLY, advice)
    return Finding(DatabaseState.READY)


async def probe_with_write(connection: Connection) -> Finding:
    """Return the state of the database as reads and a write that is rolled back find it.

    In a distributed database no write is tried: it would show the state of one node.

    Raises:
        psycopg.Error: the connection is broken.
    """
    found = await probe(connection)
    if found.state is not DatabaseState.READY or connection.is_distributed:
        return found
    if reason := await write_failure(connection):
        return Finding(DatabaseState.READS_ONLY, reason)
    return found
