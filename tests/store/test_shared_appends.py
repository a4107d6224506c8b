"""Appends that share a statement are what they would be alone."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from store_support import append, locked, new_message, use_cases, waiting

from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.model import SessionContent, WindowLimits
from sessionhistory_server.store import append as appending
from sessionhistory_server.store import coalescer, shared_append
from support.plans import Recorder, plan, recording
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sessionhistory_server.history import SessionHistory
    from sessionhistory_server.model import Appended, Window
    from sessionhistory_server.store.database import Database

    Outcome = tuple[str, Appended, Window | None] | BaseException

SESSIONS = ("a", "b", "c")


@pytest_asyncio.fixture
async def history(open_database: Callable[..., Awaitable[Database]], database_url: str) -> SessionHistory:
    """The use cases on enough connections, and three sessions."""
    history = use_cases(await open_database(database_url, pool_size=8))
    for session_id in SESSIONS:
        await history.create_session(session_id, SessionContent(user_id="ada"), allow_existing=False)
    return history


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement is slow, however busy the machine."""
    monkeypatch.setattr(coalescer, "_PATIENCE_SECONDS", 600)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Recorder]:
    """What is sent to the database."""
    with recording(monkeypatch, database_url) as recorder:
        yield recorder


async def together(history: SessionHistory, *requests: Any) -> list[Outcome]:
    """Append at the same time."""
    return await asyncio.gather(*map(history.append, requests), return_exceptions=True)


def count(sent: Recorder, text: str) -> int:
    """Return how often a statement was sent."""
    return sum(statement.text == text for statement in sent.statements)


def reason(outcome: Outcome) -> str:
    """Return why an append failed, or that it did not."""
    return outcome.reason if isinstance(outcome, SessionHistoryError) else "stored"


async def test_each_is_told_its_own(history: SessionHistory, sent: Recorder) -> None:
    """Sequences are given in the order of asking; the counters are those after each one's own message."""
    asked = [append(SESSIONS[n % 2], new_message(f"m{n}", tokens=n)) for n in range(10)]
    outcomes = await together(history, *asked)
    for n, outcome in enumerate(outcomes):
        assert not isinstance(outcome, BaseException)
        session_id, appended, _ = outcome
        (message,) = appended.messages
        place = n // 2 + 1
        total = sum(range(n % 2, n + 1, 2))
        assert (session_id, message.sequence, message.content.message_id) == (SESSIONS[n % 2], place, f"m{n}")
        assert tuple(appended.counters) == (place, place, total)
    assert count(sent, shared_append._APPEND) == 1
    assert count(sent, appending._APPEND) == 0
    window = await history.get_history("b", "ada", WindowLimits())
    assert [message.content.message_id for message in window.messages] == ["m1", "m3", "m5", "m7", "m9"]
    assert window.total_tokens == 25


async def test_totals_run_on(history: SessionHistory) -> None:
    """What a shared statement stores is weighed by budgets like any other."""
    await together(history, *(append("a", new_message(f"m{n}", tokens=10)) for n in range(6)))
    await history.append(append("a", new_message("alone", tokens=10)))
    window = await history.get_history("a", None, WindowLimits(token_budget=35))
    assert [message.sequence for message in window.messages] == [5, 6, 7]


async def test_one_that_is_refused_harms_nobody(history: SessionHistory) -> None:
    """Another's session, a missing one, an ended one: each its own error, the neighbours stored."""
    await history.update_session("b", None, {"status": "COMPLETED"}, etag=None)
    outcomes = await together(
        history,
        append("a", new_message("1"), user_id="ada"),
        append("a", new_message("2"), user_id="eve"),
        append("b", new_message("3")),
        append("nowhere", new_message("4")),
        append("a", new_message("5")),
    )
    assert [reason(outcome) for outcome in outcomes] == [
        "stored",
        "SESSION_NOT_FOUND",
        "SESSION_NOT_ACTIVE",
        "SESSION_NOT_FOUND",
        "stored",
    ]


async def test_an_id_twice_at_once(history: SessionHistory) -> None:
    """The same message twice is stored once; another under its id is refused."""
    outcomes = await together(
        history,
        append("a", new_message("new")),
        append("a", new_message("new")),
        append("a", new_message("new", content="something else")),
        append("b", new_message("new")),
    )
    assert [reason(outcome) for outcome in outcomes] == ["stored", "stored", "MESSAGE_ID_REUSED", "stored"]
    assert (await history.get_session("a", None)).message_count == 1


async def test_a_retry_among_others(history: SessionHistory) -> None:
    """A message that is stored already is returned, its neighbours are stored."""
    await history.append(append("a", new_message("old")))
    outcomes = await together(history, *(append("a", new_message(name)) for name in ("1", "old", "2")))
    sequences = [
        outcome[1].messages[0].sequence for outcome in outcomes if not isinstance(outcome, BaseException)
    ]
    assert sequences[1] == 1
    assert sorted(sequences) == [1, 2, 3]


async def test_nobody_waits_for_anothers_lock(history: SessionHistory, database_url: str) -> None:
    """A session that somebody has locked keeps its own appends, not those that came with them."""
    with locked(database_url, "select from sessions where session_id = 'a' for update"):
        stuck, *free = (
            asyncio.create_task(history.append(append(session_id, new_message()))) for session_id in "abb"
        )
        await asyncio.gather(*free)
        await until(lambda: waiting(database_url) == 1)
        assert not stuck.done()
    _, appended, _ = await stuck
    assert appended.counters.last_sequence == 1


async def test_title_and_sessions_to_make(history: SessionHistory) -> None:
    """The first text of a user names the session; one that is missing is made, once."""
    content = SessionContent(user_id="ada")
    outcomes = await together(
        history,
        append("a", new_message("1", role="ASSISTANT", content="Hello!")),
        append("a", new_message("2", content="Rome in May")),
        append("a", new_message("3", content="And June?")),
        append("new", new_message("4"), user_id="ada", create_session=content),
        append("new", new_message("5"), user_id="ada", create_session=content),
    )
    assert [reason(outcome) for outcome in outcomes] == ["stored"] * 5
    made = [outcome[1].session_created for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert made.count(True) == 1
    assert (await history.get_session("a", None)).title == "Rome in May"
    assert (await history.get_session("new", "ada")).message_count == 2


async def test_with_the_switch_off(
    open_database: Callable[..., Awaitable[Database]], database_url: str, sent: Recorder
) -> None:
    """Each call has a statement of its own."""
    history = use_cases(await open_database(database_url, pool_size=8), coalesce=False)
    for session_id in SESSIONS:
        await history.create_session(session_id, SessionContent(), allow_existing=False)
    outcomes = await together(history, *(append("a", new_message(str(n))) for n in range(5)))
    assert [reason(outcome) for outcome in outcomes] == ["stored"] * 5
    assert count(sent, appending._APPEND) == 5
    assert count(sent, shared_append._APPEND) == 0


async def test_a_plan_made_for_few_sessions_serves_many(
    open_database: Callable[..., Awaitable[Database]], database_url: str, sent: Recorder
) -> None:
    """What a connection has prepared on an almost empty table finds its rows by their keys for ever."""
    history = use_cases(await open_database(database_url))
    for session_id in SESSIONS:
        await history.create_session(f"few-{session_id}", SessionContent(), allow_existing=False)
    for _ in range(6):
        await together(history, *(append(f"few-{session_id}", new_message()) for session_id in SESSIONS))
    (statement,) = (each for each in sent.take() if each.text == shared_append._APPEND)
    assert sent.connection
    made = await plan(sent.connection, statement)
    assert [node.condition for node in made if node.index == "sessions_pkey"] == [True]
