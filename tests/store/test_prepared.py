"""The statements that connections prepare."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from store_support import append, sleeping, use_cases

from sessionhistory_server.errors import NotFoundError
from sessionhistory_server.model.filters import SessionFilter
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store.postgres import connection
from sessionhistory_server.store.postgres.connect import connect
from sessionhistory_server.store.postgres.connection import Connection
from support.callers import caller
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database

_NAMES = "select name, statement from pg_prepared_statements"


async def test_statements_work_after_a_rollback(history: UseCases) -> None:
    """After a rollback all statements still work, since psycopg's own prepared statements are not used."""
    await history.messages.append(caller(), append("s", new_session=SessionContent()))
    await history.sessions.get(caller(), "s")
    for count in (2, 3):
        with pytest.raises(NotFoundError):
            await history.sessions.delete(caller(), "missing", purge=True)
        assert (await history.messages.append(caller(), append("s")))[1].counters.message_count == count
        assert len((await history.windows.get(caller(), "s", WindowLimits())).messages) == count


async def test_what_is_prepared_is_bounded(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used statement is dropped for a new one, and can be prepared again."""
    monkeypatch.setattr(connection, "_MAX_PREPARED", 3)
    database = await open_database(database_url)
    history = use_cases(database)
    await history.messages.append(caller(), append("s", new_session=SessionContent()))
    for _ in range(2):
        for by_creation in (False, True):
            for user_id in (None, "u"):
                wanted = SessionFilter(by_creation=by_creation)
                await history.sessions.find(caller(user_id), wanted, page_size=1, page_token="")
        assert await database.read(_prepared) <= 3


async def test_two_statements_that_are_prepared_together_keep_the_bound(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement and its local settings, both new, take two places."""
    monkeypatch.setattr(connection, "_MAX_PREPARED", 3)
    opened = await connect(database_url)
    for text in ("select 1", "select 2"):
        await opened.fetch(text, {})
    opened.local_settings = {"lock_timeout": "9s"}
    await opened.fetch("select 3", {})
    opened.local_settings = {}
    ((count,),) = await opened.fetch("select count(*) from pg_prepared_statements", {})
    await opened.close()
    assert count <= 3


async def test_a_name_means_one_statement(database_url: str) -> None:
    """Two connections that prepare different statements in any order give them different names."""
    names = []
    for texts in (("select 1", "select 2"), ("select 2", "select 3", "select 1")):
        opened = await connect(database_url)
        for text in texts:
            await opened.fetch(text, {})
        names.append({text: name for name, text in await opened.fetch(_NAMES, {}) if text in texts})
        await opened.close()
    assert names[0].items() <= names[1].items()
    assert len(set(names[1].values())) == 3


@pytest.mark.parametrize("settings", [{}, {"lock_timeout": "1s"}])
async def test_a_statement_that_the_backend_has_lost(database_url: str, settings: dict[str, str]) -> None:
    """A statement that the backend lacks is prepared again, as after a pooler has changed the backend."""
    opened = await connect(database_url)
    opened.local_settings = settings
    for _ in range(2):
        assert await opened.fetch("select %(number)s::int", {"number": 5}) == [(5,)]
        await opened.execute("deallocate all")
    await opened.close()


@pytest.mark.parametrize("settings", [{}, {"lock_timeout": "1s"}])
async def test_a_statement_that_the_backend_has_already(database_url: str, settings: dict[str, str]) -> None:
    """A statement that the backend has already is used, as after a pooler has changed the backend."""
    opened = await connect(database_url)
    opened.local_settings = settings
    for _ in range(2):
        assert await opened.fetch("select %(number)s::int", {"number": 5}) == [(5,)]
        opened._prepared_names.clear()  # noqa: SLF001 - the test makes the client's record wrong
    await opened.close()


async def test_backends_that_differ_at_each_attempt(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last attempt uses no name, so that the statement runs."""
    opened = await connect(database_url)
    await opened.fetch("select 6", {})
    monkeypatch.setattr(Connection, "_correct", lambda *_: True)  # the client's record stays wrong
    opened._prepared_names.clear()  # noqa: SLF001 - as above
    assert await opened.fetch("select 6", {}) == [(6,)]
    await opened.close()


async def test_nothing_is_named_in_a_transaction_through_a_pooler(database_url: str) -> None:
    """In a transaction through a pooler statements have no name: a missing one would abort it."""
    opened = await connect(database_url)
    opened.pooled = True
    assert await opened.fetch("select 7", {}) == [(7,)]
    async with opened.transaction():
        for _ in range(2):
            assert await opened.fetch("select 8", {}) == [(8,)]
            assert await opened.fetch("select 7", {}) == [(7,)]
    assert await opened.fetch("select 9", {}, named=False) == [(9,)]
    texts = {text for _, text in await opened.fetch(_NAMES, {})}
    assert "select 7" in texts
    assert not texts & {"select 8", "select 9"}
    await opened.close()


@pytest.mark.parametrize("pooled", [False, True])
async def test_local_settings(database_url: str, *, pooled: bool) -> None:
    """Local settings apply to the next statement only, with and without a transaction."""
    opened = await connect(database_url)
    opened.pooled = pooled
    lock_timeout = "select current_setting('lock_timeout')"
    ((before,),) = await opened.fetch(lock_timeout, {})
    opened.local_settings = {"lock_timeout": "1234ms", "statement_timeout": "20s"}
    assert await opened.fetch(lock_timeout, {}) == [("1234ms",)]
    async with opened.transaction():
        assert await opened.fetch(lock_timeout, {}) == [("1234ms",)]
    opened.local_settings = {}
    assert await opened.fetch(lock_timeout, {}) == [(before,)]
    assert before != "1234ms"
    await opened.close()


async def test_a_local_statement_timeout(database_url: str) -> None:
    """The timeout ends the statement, and the connection can be used again."""
    opened = await connect(database_url)
    opened.local_settings = {"statement_timeout": "50ms"}
    with pytest.raises(psycopg.errors.QueryCanceled):
        await opened.fetch("select pg_sleep(600)", {})
    opened.local_settings = {}
    assert await opened.fetch("select 1", {}) == [(1,)]
    await opened.close()


async def test_a_statement_that_fails_in_a_pipeline(database_url: str) -> None:
    """The failed statement's own error is raised, and the connection can be used again.

    That holds in a transaction and outside.
    """
    opened = await connect(database_url)
    opened.local_settings = {"lock_timeout": "1s"}
    divide = "select 1 / %(zero)s::int"
    with pytest.raises(psycopg.errors.DivisionByZero):
        await opened.fetch(divide, {"zero": 0})
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with opened.transaction():
            await opened.fetch(divide, {"zero": 0})
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await opened.fetch("select nothing", {})
    assert await opened.fetch(divide, {"zero": 1}) == [(1,)]
    await opened.close()


async def _prepared(pooled: Connection) -> int:
    ((count,),) = await pooled.fetch("select count(*) from pg_prepared_statements", {})
    return int(count)


async def test_what_a_cancelled_statement_has_prepared(database_url: str) -> None:
    """A statement that a cancelled call has prepared is known, so it also works in a transaction.

    Preparing it again would abort the transaction.
    """
    opened = await connect(database_url)
    sleep = "select pg_sleep(%(seconds)s::float8)"
    cancelled = asyncio.create_task(opened.fetch(sleep, {"seconds": 600.0}))
    await until(lambda: sleeping(database_url) == 1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    async with opened.transaction():
        await opened.fetch(sleep, {"seconds": 0.0})
    await opened.close()
