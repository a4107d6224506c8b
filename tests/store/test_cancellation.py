"""Calls whose caller is cancelled: reads end, writes are committed, connections return."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import append, new_message, sleeping, use_cases

from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from support.callers import caller
from support.locks import locked_session, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database

CANCELLATIONS = 100
POOL_SIZE = 3


async def _sleep_in_postgres(connection: Connection) -> None:
    await connection.execute("select pg_sleep(600)")


async def _until_all_are_back(database: Database) -> None:
    await until(lambda: database.pool_stats["pool_available"] == database.pool_stats["pool_size"])


async def test_a_read_whose_caller_is_cancelled_is_cancelled_in_postgres(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A cancelled read leaves no query behind, and its connection can be used again."""
    database = await open_database(database_url)
    read = asyncio.create_task(database.read(_sleep_in_postgres))
    await until(lambda: sleeping(database_url) == 1)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    await until(lambda: sleeping(database_url) == 0)
    await _until_all_are_back(database)
    assert await use_cases(database).sessions.create(caller(), "s", SessionContent(), allow_existing=False)


async def test_a_write_whose_caller_is_cancelled_is_committed(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A write that was sent runs to its end, and its connection returns."""
    database = await open_database(database_url)
    history = use_cases(database)
    await history.messages.append(caller(), append("s", new_message("1"), new_session=SessionContent()))
    with locked_session(database_url):
        write = asyncio.create_task(history.messages.append(caller(), append("s", new_message("2"))))
        await until(lambda: waiting(database_url) == 1)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert waiting(database_url) == 1
    found = await history.messages.get(caller(), "s", message_id="2", sequence=None)
    assert found.sequence == 2
    await _until_all_are_back(database)


async def test_closing_waits_for_a_write_whose_caller_has_gone(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A stop waits for writes that were sent, even if their callers are gone."""
    database = await open_database(database_url)
    history = use_cases(database)
    await history.messages.append(caller(), append("s", new_message("1"), new_session=SessionContent()))
    with locked_session(database_url):
        write = asyncio.create_task(history.messages.append(caller(), append("s", new_message("2"))))
        await until(lambda: waiting(database_url) == 1)
        write.cancel()
        closing = asyncio.create_task(database.close())
    await closing
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select from messages").rowcount == 2


@pytest.mark.parametrize("seed", range(4))
async def test_cancelled_calls_leak_no_connection(
    open_database: Callable[..., Awaitable[Database]], database_url: str, seed: int
) -> None:
    """In spite of cancellations, every connection returns, and every write is stored whole or not at all."""
    database = await open_database(database_url, pool_size=POOL_SIZE)
    history = use_cases(database)
    await history.messages.append(caller(), append("s", new_session=SessionContent()))
    chance = random.Random(seed)

    async def call(number: int) -> None:
        if number % 2:
            await history.windows.get(caller(), "s", WindowLimits())
        else:
            await history.messages.append(
                caller(), append("s", new_message(f"{number}-a"), new_message(f"{number}-b"))
            )

    async def give_up(task: asyncio.Task[None]) -> None:
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    await asyncio.gather(*(give_up(asyncio.create_task(call(number))) for number in range(CANCELLATIONS)))
    await _until_all_are_back(database)
    assert database.pool_stats["pool_size"] == POOL_SIZE
    session = await history.sessions.get(caller(), "s")
    window = await history.windows.get(caller(), "s", WindowLimits(max_messages=1_000))
    assert [message.sequence for message in window.messages] == [*range(1, session.last_sequence + 1)]
    assert session.message_count % 2 == 1


async def test_a_read_cancelled_while_it_hands_its_connection_back_leaks_none(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A cancellation does not interrupt the return of a connection to the pool."""
    database = await open_database(database_url)
    begun, end = asyncio.Event(), asyncio.Event()

    async def work(_: Connection) -> None:
        begun.set()
        await end.wait()

    read = asyncio.create_task(database.read(work))
    await begun.wait()
    assert database.pool
    async with database.pool._lock:  # noqa: SLF001 - the return of a connection takes this lock
        end.set()
        await _let_others_run()
        read.cancel()
        await _let_others_run()
    with suppress(asyncio.CancelledError):
        await read
    await _until_all_are_back(database)


async def _let_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
