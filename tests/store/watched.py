"""A database that a monitor watches, without a server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from store_support import use_cases

from sessionhistory_server.errors import UnavailableError
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.database_state import DatabaseState, Finding
from sessionhistory_server.store.postgres.monitor import Monitor
from support.callers import caller
from support.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOL_SIZE = 4


class Watched:
    """A database that a monitor watches, and the monitor's findings."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=POOL_SIZE, pool_timeout_seconds=5)
        self.told: list[Finding] = []
        self.monitor = Monitor(url, self.database, self._tell)
        self.history = use_cases(self.database)

    async def _tell(self, found: Finding) -> None:
        self.told.append(found)

    @property
    def states(self) -> list[DatabaseState]:
        """The states that were found, in order."""
        return [found.state for found in self.told]

    @property
    def is_ready(self) -> bool:
        """Whether the last finding is that the database is ready."""
        return self.states[-1:] == [DatabaseState.READY]

    async def works(self) -> bool:
        """Return whether calls work on all connections at once."""
        calls = [
            self.history.sessions.create(caller(), f"s{n}", SessionContent(), allow_existing=True)
            for n in range(16)
        ]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(*calls)
        except UnavailableError:
            return False
        return True

    async def until_it_works(self) -> None:
        """Call as clients that retry do, until calls work on all connections."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.works():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.05)


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watched]:
    """Watch a database until the block ends."""
    watched = Watched(url)
    running = asyncio.create_task(watched.monitor.run())
    try:
        await until(lambda: watched.is_ready)
        yield watched
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await watched.database.close()
