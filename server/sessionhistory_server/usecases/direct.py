"""The database of a command that has no server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.preflight import require_ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_POOL_TIMEOUT_SECONDS: Final = 30.0


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Yield a database with one connection, and close it.

    Raises:
        psycopg.Error: the database cannot be reached.
        UnavailableError: its schema is too old, or it takes no writes.
    """
    await require_ready(url)
    database = Database(url, pool_size=1, pool_timeout_seconds=_POOL_TIMEOUT_SECONDS)
    await database.open_pool()
    try:
        yield database
    finally:
        await database.close()
