"""Reads that may pass over many rows: their share of the pool, and their time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_support import use_cases

from sessionhistory_server.errors import DeadlineExceededError, ResourceExhaustedError
from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.store.postgres import database as database_module
from support.callers import caller
from support.locks import locked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.connection import Connection
    from sessionhistory_server.store.postgres.database import Database

    Open = Callable[..., Awaitable[Database]]

LONG = [
    SessionFilter(title_contains="x"),
    SessionFilter(user_id="u", application_id="a"),
    SessionFilter(user_id="u", labels={"a": "b"}),
    SessionFilter(user_id="u", statuses=("COMPLETED",)),
    SessionFilter(statuses=("ACTIVE",)),
    SessionFilter(create_time_after=1),
    SessionFilter(last_activity_time_before=1, by_creation=True),
    MessageFilter(roles=("USER",)),
    MessageFilter(create_time_before=1),
]

SHORT = [
    SessionFilter(),
    SessionFilter(user_id="u", show_deleted=True),
    SessionFilter(user_id="u", statuses=("ACTIVE",)),
    SessionFilter(last_activity_time_after=1, ascending=True),
    SessionFilter(user_id="u", by_creation=True, ascending=True),
    SessionFilter(create_time_after=1, by_creation=True),
    MessageFilter(),
    MessageFilter(after_sequence=5, before_sequence=9, descending=True),
]


@pytest.mark.parametrize("wanted", LONG)
def test_a_list_is_long_work_if_it_may_pass_over_rows(wanted: SessionFilter | MessageFilter) -> None:
    """A list is a long read if its filter has no index, because it may read all rows."""
    assert wanted.may_pass_over


@pytest.mark.parametrize("wanted", SHORT)
def test_a_list_in_the_order_of_an_index_is_not(wanted: SessionFilter | MessageFilter) -> None:
    """A list in the order of an index is no long read."""
    assert not wanted.may_pass_over


async def test_long_reads_leave_connections_to_others(open_database: Open, database_url: str) -> None:
    """Long reads use at most 2 of 16 connections; a third one waits, and is then POOL_EXHAUSTED."""
    database = await open_database(database_url, pool_size=16, pool_timeout_seconds=0.05)
    history = use_cases(database)
    begun, end = asyncio.Semaphore(0), asyncio.Event()

    async def work(_: Connection) -> None:
        begun.release()
        await end.wait()

    long = [asyncio.create_task(database.read_long(work, advice="")) for _ in range(2)]
    for _ in long:
        await begun.acquire()
    with pytest.raises(ResourceExhaustedError) as caught:
        await history.sessions.find(caller(), SessionFilter(title_contains="x"), page_size=1, page_token="")
    assert caught.value.reason == "POOL_EXHAUSTED"
    assert await history.sessions.find(caller(), SessionFilter(), page_size=1, page_token="") == ([], "")
    end.set()
    await asyncio.gather(*long)
    assert await history.sessions.find(
        caller(), SessionFilter(title_contains="x"), page_size=1, page_token=""
    )


async def test_a_list_that_takes_too_long_says_what_to_narrow(
    open_database: Open, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends a list that exceeds its time; the error names the limit and the filters to narrow."""
    monkeypatch.setattr(database_module, "LONG_READ_SECONDS", 0.1)
    history = use_cases(await open_database(database_url))
    with locked(database_url, "sessions"), pytest.raises(DeadlineExceededError) as caught:
        await history.sessions.find(caller(), SessionFilter(title_contains="x"), page_size=1, page_token="")
    assert "0.1 seconds" in str(caught.value)
    assert "user_id" in str(caught.value)
    assert caught.value.metadata == {"max_seconds": "0.1"}
    await history.sessions.create(caller(), "s", SessionContent(), allow_existing=False)
    with locked(database_url, "messages"), pytest.raises(DeadlineExceededError, match="sequences"):
        await history.messages.find(caller(), "s", MessageFilter(roles=("USER",)), page_size=1, page_token="")
