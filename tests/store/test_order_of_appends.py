"""The appends of a stream to a session are stored in their order, though several are in progress."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from order_support import OrderedAppends
from store_support import append, new_message, use_cases

from sessionhistory_server.model.filters import MessageFilter
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.tokens import CHARACTERS
from sessionhistory_server.store.postgres import admission
from sessionhistory_server.tokens import TokenCounters, TokenCounts
from support.callers import caller
from support.locks import locked_session, waiting
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from store_support import UseCases

    from sessionhistory_server.model.message import MessageContent
    from sessionhistory_server.store.postgres.database import Database

    Open = Callable[[], Awaitable[Database]]

SESSION, OTHER = "s", "t"
_WORDS = "words"


class HeldCounters(TokenCounters):
    """Counters. The one by words counts nothing while ``open`` is clear, except what callers have counted."""

    def __init__(self, name: str) -> None:
        super().__init__(CHARACTERS)
        self.name = name
        self.open = asyncio.Event()
        self.waiting = 0

    async def count(self, contents: Sequence[MessageContent], name: str) -> TokenCounts:
        """Count one token for each message."""
        if name == _WORDS and any(content.token_count_given is None for content in contents):
            self.waiting += 1
            await self.open.wait()
        return TokenCounts([content.token_count_given or 1 for content in contents], name)


@pytest_asyncio.fixture
async def database(open_database: Callable[..., Awaitable[Database]], database_url: str) -> Database:
    """A pool with enough connections for all calls of a test."""
    return await open_database(database_url, pool_size=8)


async def opened(database: Database, counters: TokenCounters | None = None) -> UseCases:
    """Return the use cases, with two sessions."""
    history = use_cases(database, counters=counters)
    for session_id in (SESSION, OTHER):
        await history.sessions.create(caller(), session_id, SessionContent(), allow_existing=True)
    return history


async def append_another(history: UseCases, session_id: str = SESSION) -> int:
    """Append a message of another caller; return its sequence."""
    outcome = await history.messages.append(caller(), append(session_id, new_message("another")))
    return outcome.appended.messages[0].sequence


async def test_behind_a_message_that_is_being_counted(database: Database) -> None:
    """An append waits for the one before it, whose tokens are not counted yet. Other callers do not wait."""
    counters = HeldCounters(_WORDS)
    history = await opened(database, counters)
    stream = OrderedAppends(history)
    stream.begin(append(SESSION, new_message(tokens=None)), append(SESSION, new_message()))
    await until(lambda: counters.waiting)
    assert await append_another(history) == 1
    counters.open.set()
    assert await stream.results() == [2, 3]


async def test_behind_a_message_that_is_counted_again(database: Database) -> None:
    """An append waits for the one before it, which the counter of the session must count."""
    await opened(database, HeldCounters(_WORDS))
    counters = HeldCounters("syllables")
    history = use_cases(database, counters=counters)
    stream = OrderedAppends(history)
    stream.begin(append(SESSION, new_message(tokens=None)), append(SESSION, new_message()))
    await until(lambda: counters.waiting)
    assert await append_another(history) == 1
    counters.open.set()
    assert await stream.results() == [2, 3]


@pytest.mark.one_machine("a statement has appends to several sessions")
async def test_behind_a_statement_that_waits_for_another_session(
    database: Database, database_url: str
) -> None:
    """An append is not stored by a statement that overtakes the one with the append before it."""
    history = await opened(database)
    stream = OrderedAppends(history)
    with locked_session(database_url, OTHER):
        stuck = asyncio.create_task(append_another(history, OTHER))
        stream.begin(append(SESSION))
        await until(lambda: waiting(database_url) == 1)
        stream.begin(append(SESSION))
        assert await stream.results() == [1, 2]
        assert not stuck.done()
    assert await stuck == 1


async def test_behind_a_message_that_is_stored_alone(database: Database, database_url: str) -> None:
    """An append that could share a statement waits for the one before it, which cannot."""
    history = await opened(database)
    stream = OrderedAppends(history)
    with locked_session(database_url, SESSION):
        pinned = [
            asyncio.create_task(history.messages.append(caller(), append(SESSION, new_message(pinned=True))))
            for _ in range(2)
        ]
        await until(lambda: waiting(database_url) == 2)
        stream.begin(append(SESSION, new_message(pinned=True)), append(SESSION, new_message()))
        another = asyncio.create_task(append_another(history))
        await until(lambda: waiting(database_url) == 3)
    await asyncio.gather(*pinned, another)
    first, second = await stream.results()
    assert first < second


async def test_each_expects_the_one_before(database: Database) -> None:
    """An append behind others may expect the last sequence that they lead to."""
    history = await opened(database)
    stream = OrderedAppends(history)
    stream.begin(*(append(SESSION, expected_last_sequence=n if n % 3 == 2 else None) for n in range(12)))
    assert await stream.results() == list(range(1, 13))


async def test_one_that_fails_holds_up_no_other(database: Database) -> None:
    """Appends that are refused or repeated get their own outcome, and those behind them are stored."""
    history = await opened(database)
    await history.messages.append(caller(), append(SESSION, new_message("old")))
    stream = OrderedAppends(history)
    stream.begin(
        append(SESSION, new_message("a")),
        append(SESSION, new_message("old")),
        append(SESSION, new_message("old", content="other words")),
        append(SESSION, new_message("b"), expected_last_sequence=9),
        append(SESSION, new_message("c")),
        append(SESSION, new_message("a")),
        append("nowhere", new_message("d")),
        append(SESSION, new_message("e")),
    )
    assert await stream.results() == [
        2, 1, "MESSAGE_ID_REUSED", "SEQUENCE_MISMATCH", 3, 2, "SESSION_NOT_FOUND", 4,
    ]  # fmt: skip


async def test_one_that_is_cancelled_before_it_is_sent(database: Database, database_url: str) -> None:
    """An append that is cancelled while it waits is not stored, and those behind it are, in order."""
    history = await opened(database)
    stream = OrderedAppends(history)
    with locked_session(database_url, SESSION):
        stream.begin(append(SESSION, new_message("a", pinned=True)))
        await until(lambda: waiting(database_url) == 1)
        stream.begin(*(append(SESSION, new_message(name)) for name in "bcd"))
        await asyncio.sleep(0)
        stream.calls[2].cancel()
        await asyncio.wait(stream.calls[2:3])
    assert await stream.results() == [1, 2, "CancelledError", 3]


async def test_the_wait_has_a_limit(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends that wait for the one before them fail as those do that wait for a locked session."""
    history = await opened(database)
    stream = OrderedAppends(history)
    with locked_session(database_url, SESSION):
        stream.begin(append(SESSION, new_message("a", pinned=True)))
        await until(lambda: waiting(database_url) == 1)
        monkeypatch.setattr(admission, "LOCK_TIMEOUT_SECONDS", 0.01)
        stream.begin(append(SESSION, new_message("b")), append(SESSION, new_message("c", pinned=True)))
        await asyncio.wait(stream.calls[1:])
    assert await stream.results() == [1, "TRANSACTION_CONFLICT", "TRANSACTION_CONFLICT"]
    found, _ = await history.messages.find(caller(), SESSION, MessageFilter(), page_size=9, page_token="")
    assert [message.content.message_id for message in found] == ["a"]
