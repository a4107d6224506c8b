"""Shared by the tests of poolers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from sessionhistory_server.store.postgres.connect import open_plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_OTHERS = 3


@asynccontextmanager
async def traffic(url: str) -> AsyncIterator[None]:
    """Keep a pooler busy until the end of the block, with other clients' statements and transactions."""
    tasks = [asyncio.create_task(_work(url, number)) for number in range(_OTHERS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _work(url: str, number: int) -> None:
    connection = await open_plain(url)
    try:
        while True:
            async with connection.transaction():
                await connection.execute(b"select pg_sleep(0.00%d)" % number)
            await connection.execute("select 1")
    finally:
        await connection.close()
