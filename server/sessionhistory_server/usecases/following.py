"""Keep copies of small tables in the memory of a worker, and apply the changes in the database to them."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from sessionhistory_server.credentials.errors import too_many_unknown_credentials
from sessionhistory_server.errors import SessionHistoryError, UnavailableError
from sessionhistory_server.store import generations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.generations import GenerationState
    from sessionhistory_server.store.postgres.database import Database

REFRESH_SECONDS: Final = 2.0

_SOON_SECONDS: Final = 1.0
"""The minimum time between refreshes that calls ask for."""
_MAX_WAITING: Final = 64
"""The maximum number of calls that wait for such a refresh."""


class Followed(Protocol):
    """The rows of a table in memory. Each change of a row has a generation (``store.generations``)."""

    async def read_all(self) -> None:
        """Replace all rows in memory."""

    async def read_changes(self, after: int) -> None:
        """Apply the changes after a generation. Those that are known already may come again."""


class Following:
    """The tables that a worker follows.

    Args:
        database: The database of the tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables: list[Followed] = []
        self._state: GenerationState | None = None
        self._refreshing = asyncio.Lock()
        self._tried_at = -math.inf
        """When the last attempt began."""
        self._refreshed_at = -math.inf
        """When the last attempt began that has ended, and was not cancelled."""
        self._failure: SessionHistoryError | None = None
        self._waiting = 0

    @property
    def has_tables(self) -> bool:
        """Whether there is a table to follow."""
        return bool(self._tables)

    def follow(self, table: Followed) -> None:
        """Refresh a table with the others, one after the other."""
        self._tables.append(table)

    async def refresh_soon(self) -> None:
        """Wait for a refresh that begins from now on. All calls that wait share it.

        Raises:
            UnavailableError: the tables cannot be read.
            ResourceExhaustedError: too many calls wait.
        """
        if self._waiting >= _MAX_WAITING:
            raise too_many_unknown_credentials()
        asked_at = time.monotonic()
        self._waiting += 1
        try:
            async with self._refreshing:
                if self._refreshed_at < asked_at:
                    if self._failure is None:
                        again_at = self._tried_at + _SOON_SECONDS
                        await asyncio.sleep(max(0.0, again_at - time.monotonic()))
                    await self._refresh()
                elif self._failure is not None:
                    raise UnavailableError(str(self._failure), reason=self._failure.reason)
        finally:
            self._waiting -= 1

    async def run(self, after_refresh: Callable[[], Awaitable[None]]) -> None:
        """Refresh the tables every two seconds, until cancelled.

        Args:
            after_refresh: Called after each attempt. Its errors for callers are ignored.
        """
        while True:
            with suppress(SessionHistoryError):
                await self.refresh()
            with suppress(SessionHistoryError):
                await after_refresh()
            await asyncio.sleep(REFRESH_SECONDS)  # no event reports a change of the database

    async def refresh(self) -> None:
        """Refresh the tables at once.

        Raises:
            SessionHistoryError: the tables cannot be read.
        """
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        self._tried_at = began = time.monotonic()
        try:
            found = await self._database.read(generations.state)
            await self._read(found)
            self._state, self._failure, self._refreshed_at = found, None, began
        except SessionHistoryError as error:
            self._failure, self._refreshed_at = error.with_traceback(None), began
            raise

    async def _read(self, found: GenerationState) -> None:
        """Read the changes; all rows if another server of the database may have lost changes."""
        held = self._state
        is_new = held is None or held.server_start != found.server_start
        for table in self._tables:
            if held is None or is_new or found.generation < held.generation:
                await table.read_all()
            elif found.generation > held.generation:
                await table.read_changes(held.generation)
