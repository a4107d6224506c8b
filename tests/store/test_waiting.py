"""A wait for the database always ends: with an answer, or with an error."""

from __future__ import annotations

import asyncio
import os
import selectors
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import uvloop

from sessionhistory_server.store.postgres import connect, waiting
from support.proxy import terminate_all
from support.service import PATIENCE_SECONDS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sessionhistory_server.store.postgres.connection import Connection
    from support.proxy import Proxy

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


async def _prepared(connection: Connection) -> object:
    return await connection.fetch("select 1", {})


async def _first(connection: Connection) -> object:
    return await connection.fetch("select 2", {})


async def _psycopg(connection: Connection) -> object:
    return await connection.execute("select 3")


async def _transaction(connection: Connection) -> object:
    async with connection.transaction():
        return await connection.fetch("select 1", {})


STATEMENTS: list[Callable[[Connection], Awaitable[object]]] = [_prepared, _first, _psycopg, _transaction]


def _runner() -> Callable[[Coroutine[None, None, None]], None]:
    """Return a function that runs a coroutine on the test's event loop, from another thread."""
    loop = asyncio.get_running_loop()
    return lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_SECONDS)


async def _stalled(proxy: Proxy) -> None:
    proxy.stall()


async def _on_a_loop(name: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Run work on another event loop in another thread, within the tests' patience."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await work()

    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
            runner.run(bounded())

    await asyncio.to_thread(run)


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("over", ["tcp", "tcp, reset", "file"])
async def test_a_statement_on_a_connection_that_ended_while_idle(
    proxy: Proxy,
    database_url: str,
    loop: str,
    over: str,
    statement: Callable[[Connection], Awaitable[object]],
) -> None:
    """A statement on a closed connection fails at once, on each event loop and each kind of socket.

    Postgres sends the reason, closes the connection, and answers later data with a reset.
    """
    proxy.closes_in_order = over == "tcp"

    async def work() -> None:
        opened = await connect.connect(database_url if over == "file" else proxy.url)
        await opened.fetch("select 1", {})
        terminate_all(database_url)
        await until(lambda: opened._socket.is_readable)  # noqa: SLF001 - is_lost would close it
        with pytest.raises(psycopg.OperationalError):
            await statement(opened)
        assert opened.closed

    await _on_a_loop(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_connection_that_ended_while_idle_is_known_to_be_lost(proxy: Proxy, loop: str) -> None:
    """A lost connection is noticed before the next statement."""
    in_test = _runner()

    async def work() -> None:
        opened = await connect.connect(proxy.url)
        assert not opened.is_lost
        in_test(proxy.cut())
        await until(lambda: opened.is_lost)
        assert opened.closed

    await _on_a_loop(loop, work)


async def test_a_connection_that_is_told_of_a_setting_is_not_lost(database_url: str) -> None:
    """A changed setting that Postgres reports to an idle connection does not count as a lost connection."""
    opened = await connect.connect(database_url)
    await opened.fetch("select 1", {})
    opened.pgconn.send_query(b"set application_name = 'another'")
    await until(lambda: opened._socket.is_readable)  # noqa: SLF001 - there is no other sign to wait for
    assert not opened.is_lost
    await opened.close()


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("loop", LOOPS)
async def test_a_database_that_never_answers(
    proxy: Proxy, loop: str, statement: Callable[[Connection], Awaitable[object]]
) -> None:
    """A statement without an answer fails at its time limit, and its connection is closed."""
    in_test = _runner()

    async def work() -> None:
        opened = await connect.connect(proxy.url)
        await opened.fetch("select 1", {})
        in_test(_stalled(proxy))
        limits = _hurry(opened)
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.2 seconds"):
            await statement(opened)
        assert opened.closed
        assert limits == [waiting.WAIT_SECONDS]

    await _on_a_loop(loop, work)


def _hurry(opened: Connection) -> list[float]:
    """Shorten the limits of a connection, and of no other one in this process; return those it has set."""
    limits: list[float] = []
    until = opened._socket.until  # noqa: SLF001 - the limit under test

    async def soon(step: Callable[[], bool], seconds: float = until.__defaults__[0]) -> None:
        limits.append(seconds)
        await until(step, 0.2)

    opened._socket.until = soon  # noqa: SLF001 - as above
    return limits


async def test_a_connection_whose_writing_was_cut_short_is_not_lost(proxy: Proxy) -> None:
    """A connection that can be written to is not lost, and the check for that ends."""
    opened = await connect.connect(proxy.url)
    text = "select length(%(text)s::text)"
    proxy.stall()
    writing = asyncio.create_task(opened.fetch(text, {"text": "long" * 10_000_000}))
    await until(lambda: opened.pgconn.flush() == 1)
    opened._socket.flush()  # noqa: SLF001 - as the statement does at any time
    assert not opened._socket.is_readable  # noqa: SLF001 - is_lost is for idle connections
    writing.cancel()
    proxy.heal()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await opened.close()


async def test_a_wait_to_write_that_is_cancelled_leaves_nothing_to_watch_for(database_url: str) -> None:
    """A cancelled wait to write leaves the connection waiting to be read, so that it is not always ready."""
    opened = await connect.connect(database_url)
    waiting_to_write = asyncio.create_task(opened._socket.ready(selectors.EVENT_WRITE, PATIENCE_SECONDS))  # noqa: SLF001
    await asyncio.sleep(0)
    waiting_to_write.cancel()
    with suppress(asyncio.CancelledError):
        await waiting_to_write
    assert not opened.is_lost
    await opened.close()


async def test_a_connection_that_nothing_holds_is_freed(database_url: str) -> None:
    """A connection without references is freed at once, with its descriptors, without the collector."""
    opened = await connect.connect(database_url)
    await opened.fetch("select %(number)s::int", {"number": 1})
    await opened.close()
    reference = weakref.ref(opened)
    del opened
    assert reference() is None


async def test_a_lost_connection_frees_its_descriptors(proxy: Proxy) -> None:
    """A lost connection frees its descriptors at once, although its error still refers to it."""
    opened = await connect.connect(proxy.url)
    await opened.fetch("select 1", {})
    numbers = (opened.pgconn.socket, opened._socket._fileno)  # noqa: SLF001 - the descriptors under test
    await proxy.cut()
    with pytest.raises(psycopg.OperationalError) as lost:
        await opened.fetch("select 1", {})
    assert lost.value.__traceback__
    for number in numbers:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


async def test_a_connection_that_is_dropped_while_it_waits(database_url: str) -> None:
    """The event loop stops watching a dropped connection's descriptor, whose number may be used again."""
    opened = await connect.connect(database_url)
    waiting_for_rows = asyncio.create_task(opened.fetch("select pg_sleep(600)", {}))
    await until(lambda: opened._socket._loop is not None)  # noqa: SLF001 - there is no other sign to wait for
    number = opened._socket._fileno  # noqa: SLF001 - as above
    opened.drop()
    assert not asyncio.get_running_loop().remove_reader(number)
    waiting_for_rows.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting_for_rows
