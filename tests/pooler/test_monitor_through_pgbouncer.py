"""The monitor on connections that lead through a pooler."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from sessionhistory_server.store.postgres.database import Database
from sessionhistory_server.store.postgres.monitor import Monitor
from support.waiting import until

if TYPE_CHECKING:
    import pytest

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database_state import Finding
    from support.pgbouncer import PgBouncer


async def test_a_new_connection_of_the_monitor_costs_no_other(
    session_bouncer: PgBouncer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In session mode a connection keeps its backend, although PgBouncer gives libpq another number."""
    looks = []
    look = Monitor._hang_up_on_lost  # noqa: SLF001 - to know when it has looked

    async def counted(monitor: Monitor, connection: Connection) -> None:
        await look(monitor, connection)
        looks.append(connection)

    async def tell(_: Finding) -> None:
        """Ignore the finding."""

    monkeypatch.setattr(Monitor, "_hang_up_on_lost", counted)
    url = session_bouncer.url(database_url)
    database = Database(url, pool_size=3, pool_timeout_seconds=5)
    running = asyncio.create_task(Monitor(url, database, tell).run())
    await until(lambda: database.pool is not None)
    assert database.pool
    before = database.pool.known
    database.refused_writes.note("53100")  # after which the monitor looks with a new connection
    database.suspect.set()
    await until(lambda: len(looks) > 1)
    assert not any(connection.is_lost for connection in before)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await database.close()
