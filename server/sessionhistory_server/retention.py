"""Removes for good what was deleted or expired, once its purge time has come."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from sessionhistory_server.errors import RetryableError
from sessionhistory_server.store import purging

if TYPE_CHECKING:
    from sessionhistory_server.store.database import Database

INTERVAL_SECONDS: Final = 60.0
BATCH_SESSIONS: Final = 20

_log = logging.getLogger(__name__)


async def run(database: Database) -> None:
    """Purge until cancelled. Any number of servers may do so on one database."""
    while True:
        delay_seconds = INTERVAL_SECONDS
        try:
            while await purge_batch(database) == BATCH_SESSIONS:
                pass
        except RetryableError as error:
            _log.debug("purge put off", extra={"reason": error.reason})
            delay_seconds = error.retry_delay_seconds
        await asyncio.sleep(delay_seconds)


async def purge_batch(database: Database) -> int:
    """Purge some sessions that are due; return how many were."""
    return await database.write(lambda c: purging.purge_due(c, limit=BATCH_SESSIONS))
