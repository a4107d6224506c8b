"""What `session-history check` says about a database."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import sessionhistory_migrations as migrations
from sessionhistory_server.store.connecting import connect
from sessionhistory_server.store.readiness import State, probe


class Report(NamedTuple):
    """The findings; ``state`` says what to do if it is not ready."""

    ready: bool
    state: str
    postgres: str
    schema: str
    newest_schema: str


def inspect(url: str) -> Report:
    """Connect to a database and look.

    Raises:
        psycopg.Error: it cannot be reached.
    """
    state, version = asyncio.run(_look(url))
    return Report(
        ready=state is State.READY,
        state=state.value,
        postgres=f"{version // 10_000}.{version % 10_000}",
        schema=migrations.current(url) or "none",
        newest_schema=migrations.head(),
    )


async def _look(url: str) -> tuple[State, int]:
    connection = await connect(url)
    try:
        return await probe(connection), connection.info.server_version
    finally:
        await connection.close()
