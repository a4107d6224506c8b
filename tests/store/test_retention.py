"""Which sessions are removed for good, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from store_support import append, compact, new_message, use_cases

from sessionhistory_server import call_context
from sessionhistory_server.background import retention
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.store.sessions import purging
from support.callers import caller
from support.databases import execute
from support.locks import locked_session, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database

DUE = "update sessions set purge_time = now() where session_id like 'due-%'"


async def store(database: Database, *session_ids: str) -> None:
    """Create sessions of two messages each."""
    history = use_cases(database)
    for session_id in session_ids:
        two = (new_message(), new_message())
        await history.messages.append(caller(), append(session_id, *two, new_session=SessionContent()))


def remaining(url: str) -> tuple[list[str], int]:
    """Return the ids of all sessions, and the number of all messages."""
    ids = [str(session_id) for (session_id,) in execute(url, "select session_id from sessions order by 1")]
    return ids, len(execute(url, "select sequence from messages"))


async def test_only_what_is_due_is_purged(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A session is removed with its messages once its purge time has come, and no earlier."""
    database = await open_database(database_url)
    await store(database, "due-1", "due-2", "kept", "deleted", "expired")
    history = use_cases(database)
    await history.sessions.delete(caller(), "deleted", purge=False)
    await history.sessions.update(caller(), "expired", {"expire_time": 0}, etag=None)
    execute(
        database_url,
        DUE,
        "update sessions set purge_time = now() + interval '1 hour' where session_id = 'expired'",
    )
    assert await retention.purge_batch(database, []) == 2
    assert remaining(database_url) == (["deleted", "expired", "kept"], 6)
    assert await retention.purge_batch(database, []) == 0


async def test_summaries_go_with_their_session(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Other sessions' summaries stay."""
    database = await open_database(database_url)
    await store(database, "due-1", "kept")
    for session_id in ("due-1", "kept"):
        await compact(database, session_id, 1)
        await compact(database, session_id, 2)
    execute(database_url, DUE)
    assert await retention.purge_batch(database, []) == 1
    query = "select count(*) from summaries join sessions using (session_key)"
    assert execute(database_url, query, "select count(*) from summaries") == [(2,)]
    assert execute(database_url, query) == [(2,)]


async def test_a_purge_is_in_the_trail(
    open_database: Callable[..., Awaitable[Database]], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each session that is removed has an event, and no other session has one."""
    database = await open_database(database_url)
    await store(database, "due-1", "kept", "due-2")
    execute(database_url, DUE)
    assert await retention.purge_batch(database, []) == 2
    events = [vars(record) for record in caplog.records if record.name == "sessionhistory.audit"]
    found = {(event["act"], event["code"], event["tenant"], event["session_id"]) for event in events}
    assert found == {("purge", "OK", "default", f"due-{n}") for n in (1, 2)}


async def test_a_locked_session_holds_up_no_other(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A locked session is left for the next purge, even if it was due first."""
    database = await open_database(database_url)
    await store(database, "due-1", "due-2", "due-3")
    execute(database_url, DUE)
    call_context.begin(CallContext("r", "m"))
    call_context.current().limit(0.1)  # the longest wait for a lock
    with locked_session(database_url, "due-1"):
        left: list[str] = []
        assert await retention.purge_batch(database, left) == 3
        assert len(left) == 1
        assert await retention.purge_batch(database, left) == 0
    assert remaining(database_url) == (["due-1"], 2)
    assert await retention.purge_batch(database, []) == 1


async def test_a_session_that_takes_too_long_holds_up_no_other(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is too large to remove within a statement's time is left, however early it was due."""
    database = await open_database(database_url)
    await store(database, "due-1", "due-2", "due-3")
    execute(database_url, DUE)
    purge_due = purging.purge_due
    stuck = execute(database_url, "select session_key from sessions where session_id = 'due-1'")[0][0]

    async def purge(connection: Connection, session_key: str) -> tuple[str, str] | None:
        if UUID(session_key) == stuck:
            raise psycopg.errors.QueryCanceled
        return await purge_due(connection, session_key)

    monkeypatch.setattr(purging, "purge_due", purge)
    assert await retention.purge_batch(database, []) == 3
    assert remaining(database_url) == (["due-1"], 2)


async def test_a_batch_is_bounded(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Due sessions are removed in batches, and the count tells whether more are left."""
    database = await open_database(database_url)
    count = retention.BATCH_SESSIONS + 1
    await store(database, *(f"due-{n}" for n in range(count)))
    execute(database_url, DUE)
    assert await retention.purge_batch(database, []) == retention.BATCH_SESSIONS
    assert remaining(database_url)[1] == 2
    assert await retention.purge_batch(database, []) == 1


async def test_purges_at_once_do_not_collide(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Concurrent purges by several servers do not fail, and remove all due sessions."""
    database = await open_database(database_url, pool_size=8)
    await store(database, "kept", *(f"due-{n}" for n in range(60)))
    execute(database_url, DUE)

    async def purge_all() -> None:
        while await retention.purge_batch(database, []):
            pass

    await asyncio.gather(*(purge_all() for _ in range(8)))
    assert remaining(database_url) == (["kept"], 2)


async def test_a_session_that_is_restored_meanwhile_is_kept(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """A session that is restored between its selection and its removal stays."""
    database = await open_database(database_url, pool_size=2)
    await store(database, "due-1")
    execute(database_url, DUE)
    with psycopg.connect(database_url) as connection:
        connection.execute("update sessions set purge_time = null")
        purge = asyncio.create_task(retention.purge_batch(database, []))
        await until(lambda: waiting(database_url) == 1)
    await purge
    assert remaining(database_url) == (["due-1"], 2)
