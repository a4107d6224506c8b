"""Appends in two statements, as on a database whose sessions Citus has distributed."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from store_support import append, new_message, use_cases

from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.limits import MAX_BATCH_MESSAGES
from sessionhistory_server.model.filters import MessageFilter
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store.appends import rows, storing
from sessionhistory_server.store.postgres import batching, connect
from support import citus
from support.callers import caller
from support.locks import locked_session, waiting
from support.plans import recording
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database

HELD = 9
"""Appends to a locked session: more than the connections of the pool."""


@pytest.fixture(autouse=True)
def kind_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs once, with the statements for distributed sessions."""
    citus.take_for_distributed(monkeypatch)


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that no transaction counts as slow, however busy the machine is."""
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 600)


async def opened(database: Database, *session_ids: str) -> UseCases:
    """Return the use cases of a database with some sessions."""
    history = use_cases(database)
    for session_id in session_ids:
        await history.sessions.create(caller(), session_id, SessionContent(), allow_existing=False)
    return history


@pytest.mark.usefixtures("sharing")
async def test_a_locked_session_holds_one_connection(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Appends to a locked session wait for one transaction, and other sessions are served meanwhile."""
    history = await opened(await open_database(database_url, pool_size=2), "locked", "free")
    with locked_session(database_url, "locked"):
        held = [
            asyncio.create_task(history.messages.append(caller(), append("locked", new_message(f"m{n}"))))
            for n in range(HELD)
        ]
        await until(lambda: waiting(database_url) == 1)
        for _ in range(HELD):
            await history.messages.append(caller(), append("free"))
        assert waiting(database_url) == 1
    stored = await asyncio.gather(*held)
    assert [appended.messages[0].sequence for _, appended, _ in stored] == list(range(1, HELD + 1))


@pytest.mark.usefixtures("sharing")
async def test_a_session_that_stays_locked_refuses_all_its_appends(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the wait for the lock ends, each append that shares it fails, and none waits once more."""
    monkeypatch.setitem(connect.SETTINGS, "lock_timeout", "100")
    history = await opened(await open_database(database_url, pool_size=2), "locked")
    with (
        recording(monkeypatch, database_url) as sent,
        locked_session(database_url, "locked"),
    ):
        calls = (history.messages.append(caller(), append("locked")) for _ in range(HELD))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [reason(outcome) for outcome in outcomes] == ["TRANSACTION_CONFLICT"] * HELD
    assert sum(statement.text == storing.APPEND.session for statement in sent.statements) == 1


async def test_large_appends_use_few_statements(
    open_database: Callable[..., Awaitable[Database]],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The messages of an append of any size are stored in order, by at most nine texts of statements."""
    history = await opened(await open_database(database_url), "s")
    with recording(monkeypatch, database_url) as sent:
        for count in (1, 2, 8, 100, MAX_BATCH_MESSAGES):
            await history.messages.append(
                caller(), append("s", *[new_message(f"m{count}-{n}") for n in range(count)])
            )
    inserts = {statement.text for statement in sent.statements if statement.text.startswith("insert")}
    assert inserts == {rows._insert(2**power) for power in range(9)}
    found, _ = await history.messages.find(caller(), "s", MessageFilter(), page_size=1_000, page_token="")
    assert [message.sequence for message in found] == list(range(1, 612))
    assert found[-1].content.message_id == f"m{MAX_BATCH_MESSAGES}-{MAX_BATCH_MESSAGES - 1}"
    assert (await history.windows.get(caller(), "s", WindowLimits(1_000, 50))).total_tokens == 50


@pytest.mark.usefixtures("sharing")
async def test_a_database_that_becomes_distributed(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that have met to share a statement are answered if their connection may not share it."""
    database = await open_database(database_url)
    history = await opened(database, "a", "b")
    monkeypatch.setattr(type(database), "is_distributed", False)
    appends = [history.messages.append(caller(), append(each)) for each in "abab"]
    windows = [history.windows.get(caller(), each, WindowLimits()) for each in "ab"]
    await asyncio.gather(*appends)
    await asyncio.gather(*windows)
    for session_id in "ab":
        assert (await history.sessions.get(caller(), session_id)).message_count == 2


def reason(outcome: object) -> str:
    """Return the reason of a failed call."""
    assert isinstance(outcome, SessionHistoryError)
    return outcome.reason
