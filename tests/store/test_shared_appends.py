"""Appends in a shared statement have the same results as in statements of their own."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from store_support import append, new_message, use_cases

from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.model.append import Append
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store.appends import storing, together
from sessionhistory_server.store.postgres import batching
from sessionhistory_server.store.session_ref import SessionRef
from support.callers import caller
from support.locks import locked_session, waiting
from support.plans import Recorder, plan, recording
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from store_support import UseCases

    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.model.message import Appended
    from sessionhistory_server.model.window import Window
    from sessionhistory_server.store.postgres.database import Database

    Outcome = tuple[str, Appended, Window | None] | BaseException

SESSIONS = ("a", "b", "c")


@pytest_asyncio.fixture
async def history(open_database: Callable[..., Awaitable[Database]], database_url: str) -> UseCases:
    """The use cases with enough connections, and three sessions."""
    history = use_cases(await open_database(database_url, pool_size=8))
    for session_id in SESSIONS:
        await history.sessions.create(caller("ada"), session_id, SessionContent(), allow_existing=False)
    return history


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that no statement counts as slow, however busy the machine is."""
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 600)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[Recorder]:
    """The statements that are sent to the database."""
    with recording(monkeypatch, database_url) as recorder:
        yield recorder


async def at_once(history: UseCases, *requests: Append | tuple[Caller, Append]) -> list[Outcome]:
    """Append concurrently."""
    calls = [(caller(), each) if isinstance(each, Append) else each for each in requests]
    return await asyncio.gather(*(history.messages.append(*call) for call in calls), return_exceptions=True)


WRITES = (together._APPEND, storing.APPEND_AT_ONCE.whole, storing.APPEND.whole, storing.APPEND.session)


def writes(sent: Recorder) -> int:
    """Return how often appends were stored."""
    return sum(statement.text in WRITES for statement in sent.statements)


def reason(outcome: Outcome) -> str:
    """Return the reason of a failed append, or "stored"."""
    return outcome.reason if isinstance(outcome, SessionHistoryError) else "stored"


async def test_each_is_told_its_own(history: UseCases, sent: Recorder) -> None:
    """Sequences follow the order of the calls; each call gets the counters after its own message.

    All calls share a statement. If the sessions are distributed, those to one session share a transaction.
    """
    asked = [append(SESSIONS[n % 2], new_message(f"m{n}", tokens=n)) for n in range(10)]
    outcomes = await at_once(history, *asked)
    for n, outcome in enumerate(outcomes):
        assert not isinstance(outcome, BaseException)
        session_id, appended, _ = outcome
        (message,) = appended.messages
        place = n // 2 + 1
        total = sum(range(n % 2, n + 1, 2))
        assert (session_id, message.sequence, message.content.message_id) == (SESSIONS[n % 2], place, f"m{n}")
        assert tuple(appended.counters) == (place, place, total)
    assert sent.connection
    assert writes(sent) == (2 if sent.connection.is_distributed else 1)
    window = await history.windows.get(caller("ada"), "b", WindowLimits())
    assert [message.content.message_id for message in window.messages] == ["m1", "m3", "m5", "m7", "m9"]
    assert window.total_tokens == 25


async def test_totals_run_on(history: UseCases) -> None:
    """Budgets count messages of a shared statement like any others."""
    await at_once(history, *(append("a", new_message(f"m{n}", tokens=10)) for n in range(6)))
    await history.messages.append(caller(), append("a", new_message("alone", tokens=10)))
    window = await history.windows.get(caller(), "a", WindowLimits(token_budget=35))
    assert [message.sequence for message in window.messages] == [5, 6, 7]


async def test_one_that_is_refused_harms_nobody(history: UseCases) -> None:
    """Appends to a foreign, missing or ended session get their own errors; the others are stored."""
    await history.sessions.update(caller(), "b", {"status": "COMPLETED"}, etag=None)
    outcomes = await at_once(
        history,
        (caller("ada"), append("a", new_message("1"))),
        (caller("eve"), append("a", new_message("2"))),
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


async def test_a_stranger_takes_no_place_in_a_statement(history: UseCases, sent: Recorder) -> None:
    """The owner's append is stored by the shared statement, even if another user's came first."""
    outcomes = await at_once(
        history,
        (caller("eve"), append("a", new_message("1"))),
        (caller("ada"), append("a", new_message("2"))),
    )
    assert [reason(outcome) for outcome in outcomes] == ["SESSION_NOT_FOUND", "stored"]
    assert sent.connection
    the_strangers_alone = 2 if sent.connection.is_distributed else 1
    assert writes(sent) == 1 + the_strangers_alone


async def test_an_id_twice_at_once(history: UseCases) -> None:
    """The same message twice is stored once; another message with its id is refused."""
    outcomes = await at_once(
        history,
        append("a", new_message("new")),
        append("a", new_message("new")),
        append("a", new_message("new", content="something else")),
        append("b", new_message("new")),
    )
    assert [reason(outcome) for outcome in outcomes] == ["stored", "stored", "MESSAGE_ID_REUSED", "stored"]
    assert (await history.sessions.get(caller(), "a")).message_count == 1


async def test_a_retry_among_others(history: UseCases) -> None:
    """A stored message is returned; the other messages of the statement are stored."""
    await history.messages.append(caller(), append("a", new_message("old")))
    outcomes = await at_once(history, *(append("a", new_message(name)) for name in ("1", "old", "2")))
    sequences = [
        outcome[1].messages[0].sequence for outcome in outcomes if not isinstance(outcome, BaseException)
    ]
    assert sequences[1] == 1
    assert sorted(sequences) == [1, 2, 3]


async def test_nobody_waits_for_anothers_lock(history: UseCases, database_url: str) -> None:
    """A locked session delays its own appends, and not those of the same batch."""
    with locked_session(database_url, "a"):
        stuck, *free = (
            asyncio.create_task(history.messages.append(caller(), append(session_id, new_message())))
            for session_id in "abb"
        )
        await asyncio.gather(*free)
        await until(lambda: waiting(database_url) == 1)
        assert not stuck.done()
    _, appended, _ = await stuck
    assert appended.counters.last_sequence == 1


@pytest.mark.one_machine("appends to other sessions are in the statement that gives up early")
async def test_only_the_locked_session_is_suspected(
    open_database: Callable[..., Awaitable[Database]], database_url: str
) -> None:
    """Only the locked session counts as held up; other sessions of its statement do not."""
    database = await open_database(database_url, pool_size=8)
    history = use_cases(database)
    for session_id in SESSIONS:
        await history.sessions.create(caller(), session_id, SessionContent(), allow_existing=False)
    with locked_session(database_url, "a"):
        stuck, *free = (
            asyncio.create_task(history.messages.append(caller(), append(session_id, new_message())))
            for session_id in SESSIONS
        )
        await asyncio.gather(*free)
        refs = [SessionRef.of(caller(), session_id) for session_id in SESSIONS]
        assert [database.gates.seems_locked(ref) for ref in refs] == [True, False, False]
    await stuck
    assert not database.gates.seems_locked(refs[0])


async def test_title_and_sessions_to_make(history: UseCases) -> None:
    """The first text of a user becomes the title; a missing session is created once."""
    content = SessionContent()
    outcomes = await at_once(
        history,
        append("a", new_message("1", role="ASSISTANT", content="Hello!")),
        append("a", new_message("2", content="Rome in May")),
        append("a", new_message("3", content="And June?")),
        (caller("ada"), append("new", new_message("4"), new_session=content)),
        (caller("ada"), append("new", new_message("5"), new_session=content)),
    )
    assert [reason(outcome) for outcome in outcomes] == ["stored"] * 5
    made = [outcome[1].session_created for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert made.count(True) == 1
    assert (await history.sessions.get(caller(), "a")).title == "Rome in May"
    assert (await history.sessions.get(caller("ada"), "new")).message_count == 2


async def test_with_the_switch_off(
    open_database: Callable[..., Awaitable[Database]], database_url: str, sent: Recorder
) -> None:
    """Without sharing each call has a statement of its own."""
    history = use_cases(await open_database(database_url, pool_size=8), coalesce=False)
    for session_id in SESSIONS:
        await history.sessions.create(caller(), session_id, SessionContent(), allow_existing=False)
    outcomes = await at_once(history, *(append("a", new_message(str(n))) for n in range(5)))
    assert [reason(outcome) for outcome in outcomes] == ["stored"] * 5
    assert writes(sent) == 5


@pytest.mark.one_machine("the statement for several sessions is sent")
async def test_a_plan_made_for_few_sessions_serves_many(
    open_database: Callable[..., Awaitable[Database]], database_url: str, sent: Recorder
) -> None:
    """A plan that was prepared for an almost empty table finds its rows by their keys."""
    history = use_cases(await open_database(database_url))
    for session_id in SESSIONS:
        await history.sessions.create(caller(), f"few-{session_id}", SessionContent(), allow_existing=False)
    for _ in range(6):
        await at_once(history, *(append(f"few-{session_id}", new_message()) for session_id in SESSIONS))
    (statement,) = (each for each in sent.take() if each.text == together._APPEND)
    assert sent.connection
    made = await plan(sent.connection, statement)
    assert [node.condition for node in made if node.index == "sessions_pkey"] == [True]
