"""A lost connection and the statement that waits for it."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import sleeping

from sessionhistory_server.store.postgres.connection import Connection
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from support.proxy import Proxy


async def test_the_number_of_a_lost_socket_is_for_others(proxy: Proxy, database_url: str) -> None:
    """A descriptor that replaces a lost socket's is still watched by its new owner.

    The waiting task has not run yet when the number of the descriptor is used again.
    """
    loop = asyncio.get_running_loop()
    connection = await Connection.connect(proxy.url, autocommit=True)
    number = connection.pgconn.socket
    waiting = asyncio.create_task(connection.fetch("select pg_sleep(600)", {}))
    await until(lambda: sleeping(database_url) == 1)
    with socket.socket() as other:

        def take() -> None:
            if _is_open(number):
                loop.call_soon(take)
            else:
                os.dup2(other.fileno(), number)
                loop.add_reader(number, take)

        take()
        await proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            await waiting
        assert loop.remove_reader(number)
        os.close(number)


async def test_a_connection_that_ends_while_it_is_written_to(proxy: Proxy) -> None:
    """The statement fails, although the socket is closed before the loop stops watching it."""
    connection = await Connection.connect(proxy.url, autocommit=True)
    text = "select length(%(text)s::text)"
    assert await connection.fetch(text, {"text": "short"}) == [(5,)]
    proxy.stall()
    waiting = asyncio.create_task(connection.fetch(text, {"text": "long" * 10_000_000}))
    await until(lambda: connection.pgconn.flush() == 1)
    proxy.end()
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
