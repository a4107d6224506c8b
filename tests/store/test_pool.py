"""Which connection of the pool a call gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database


async def test_calls_one_at_a_time_use_one_connection(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """The backend that was used last is used again, so that its memory stays in the processor's caches."""
    database = await open_database(database_url, pool_size=4)
    seen = set()

    async def note(connection: Connection) -> None:
        await connection.fetch("select true", {})
        seen.add(connection)

    for _ in range(8):
        await database.read(note)
    assert len(seen) == 1
