"""Whether the database answers and its schema is new enough: asked all the time, told when it changes."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from sessionhistory_server.errors import database_unavailable, schema_outdated
from sessionhistory_server.store.connecting import CONNECT_TIMEOUT_SECONDS, answering, connect
from sessionhistory_server.store.reasons import reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.errors import UnavailableError
    from sessionhistory_server.store.connection import Connection
    from sessionhistory_server.store.database import Database

MINIMUM_POSTGRES: Final = 15_00_00
"""As libpq counts versions."""

MINIMUM_REVISION: Final = "0007"
"""The oldest schema this release runs on. A newer one is fine: migrations only expand what it uses."""

PROBE_INTERVAL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)

# to_regclass: an empty database has no such table, and that is an answer, not an error.
_HAS_REVISION: Final = "select to_regclass('alembic_version') is not null, pg_is_in_recovery()"
_REVISION: Final = "select version_num from alembic_version"


class State(enum.Enum):
    """What the last probe found; the value says it to a person."""

    READY = "ready"
    UNAVAILABLE = "cannot be used"
    READ_ONLY = "the database is a standby that takes no writes"
    UNSUPPORTED = "Postgres 15 or later is needed"
    SCHEMA_MISSING = "no schema yet: run `session-history migrate`"
    SCHEMA_OUTDATED = "the database's schema is too old: run `session-history migrate`"

    def refusal(self) -> UnavailableError:
        """Return the error of calls that come in this state."""
        if self in {State.SCHEMA_MISSING, State.SCHEMA_OUTDATED}:
            return schema_outdated()
        return database_unavailable(self.value)


class Finding(NamedTuple):
    """A state, and why the database cannot be used if it cannot: for those who run it, not for callers."""

    state: State
    reason: str = ""

    @classmethod
    def of(cls, error: Exception) -> Finding:
        """Return what a failed connection or probe shows."""
        return cls(State.UNAVAILABLE, reason(error))

    def __str__(self) -> str:
        """Return a line for a person."""
        said = self.state.value
        return f"{said}: {self.reason} (see `session-history check`)" if self.reason else said


class Journal:
    """Logs what is found of the database, and how long it was away."""

    def __init__(self) -> None:
        self._away_since: float | None = None

    def write(self, found: Finding) -> None:
        """Log a finding that is not the last one."""
        if found.state is not State.READY:
            self._away_since = self._away_since or time.monotonic()
            _log.error("database: %s", found)
        elif self._away_since is None:
            _log.info("database: %s", found)
        else:
            seconds = time.monotonic() - self._away_since
            self._away_since = None
            _log.info("database: %s, after %.1f seconds without it", found, seconds)


async def probe(connection: Connection) -> State:
    """Return what a connection shows: anything but UNAVAILABLE.

    Raises:
        psycopg.Error: the connection is of no use.
    """
    if connection.info.server_version < MINIMUM_POSTGRES:
        return State.UNSUPPORTED
    found = await (await connection.execute(_HAS_REVISION)).fetchone()
    if found is None or not found[0]:
        return State.SCHEMA_MISSING
    revision = await (await connection.execute(_REVISION)).fetchone()
    if revision is None:
        return State.SCHEMA_MISSING
    if str(revision[0]) < MINIMUM_REVISION:
        return State.SCHEMA_OUTDATED
    return State.READ_ONLY if found[1] else State.READY


class Monitor:
    """Probes the database on a connection of its own, and opens and closes the database's pool."""

    def __init__(self, url: str, database: Database, on_change: Callable[[Finding], Awaitable[None]]) -> None:
        self._url = url
        self._database = database
        self._on_change = on_change
        self._connection: Connection | None = None
        self._found: Finding | None = None

    async def run(self) -> None:
        """Probe until cancelled: every second, and at once when work has failed."""
        try:
            while True:
                suspected = self._database.suspect.is_set()
                self._database.suspect.clear()
                await self._settle(await self._probe(), check_pool=suspected)
                await self._pause()
        finally:
            await self._disconnect()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PROBE_INTERVAL_SECONDS):
                await self._database.suspect.wait()
        except TimeoutError:
            return
        # Work fails in crowds: one probe for all of it.
        await asyncio.sleep(PROBE_INTERVAL_SECONDS / 20)

    async def _probe(self) -> Finding:
        """Probe twice at most: a kept connection may be broken where a new one would not be."""
        kept = self._connection is not None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * 2 + 1):
                if self._connection is None:
                    self._connection = await connect(self._url)
                with answering(self._connection):
                    return Finding(await probe(self._connection))
        except (psycopg.Error, TimeoutError, OSError) as error:
            await self._disconnect()
            return await self._probe() if kept else Finding.of(error)

    async def _settle(self, found: Finding, *, check_pool: bool) -> None:
        if found.state is State.READY and (check_pool or found != self._found):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS * 2):
                    await self._database.open_pool()
            except (psycopg.Error, TimeoutError) as error:
                found = Finding.of(error)
        if found.state is State.UNAVAILABLE:
            await self._database.lose_pool()
        elif found.state is not State.READY:
            await self._database.close_pool(found.state.refusal)
        if found != self._found:
            self._found = found
            await self._on_change(found)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
