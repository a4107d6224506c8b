"""How many rows a window, an append and a page read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_support import (
    APPLICATION,
    APPLICATIONS,
    HEAVY_USER,
    LONG,
    LONG_MESSAGES,
    PINNED_EVERY,
    append,
    new_message,
    use_cases,
)

from sessionhistory_server.model.filters import MessageFilter, SessionFilter
from sessionhistory_server.model.window import WindowLimits
from support.callers import caller
from support.databases import execute
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database
    from support.plans import Plan, Recorder

PINS = LONG_MESSAGES // PINNED_EVERY

LIMITS = [
    WindowLimits(max_messages=0),
    WindowLimits(max_messages=1),
    WindowLimits(max_messages=20),
    WindowLimits(max_messages=20, include_pinned=False),
    WindowLimits(max_messages=PINS - 1),
    WindowLimits(max_messages=PINS + 1),
    WindowLimits(max_messages=1_000),
    WindowLimits(max_messages=10_000, token_budget=0),
    WindowLimits(max_messages=1_000, token_budget=10 * PINS + 5),
    WindowLimits(max_messages=1_000, token_budget=1_000),
    WindowLimits(max_messages=1_000, token_budget=1_000, include_pinned=False),
    WindowLimits(max_messages=1_000, token_budget=2**31),
    WindowLimits(max_messages=200, before_sequence=1),
    WindowLimits(max_messages=200, before_sequence=2),
    WindowLimits(max_messages=200, before_sequence=LONG_MESSAGES // 2),
    WindowLimits(max_messages=1_000, token_budget=500, before_sequence=LONG_MESSAGES // 2),
    WindowLimits(max_messages=200, before_sequence=10 * LONG_MESSAGES),
]


NEWEST_SCANS, WHOLE_SCANS = 3, 8
"""How often the two statements of windows name messages: one for windows of the past, too, and one not."""


async def last_plan(recorder: Recorder) -> Plan:
    """Execute the last statement that reads rows of a session once more; return its plan.

    The first page token reads the keys that sign it.
    """
    assert recorder.connection
    sent = [each for each in recorder.take() if "sessions" in each.text]
    return await plan(recorder.connection, sent[-1], execute=True)


@pytest.mark.parametrize("defaults", [{}, {"token_budget": 1_000}], ids=["", "budget by default"])
@pytest.mark.parametrize("truncated", [False, True], ids=["whole", "truncated"])
async def test_a_window_reads_what_it_holds(
    open_database: Callable[..., Awaitable[Database]],
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    truncated: bool,
    defaults: dict[str, int],
) -> None:
    """With any limits no scan visits more than the window's messages, the pinned ones and one more.

    The session has 50,000 messages, some of which are missing from its middle.
    """
    if truncated:
        where = f"sequence between 100 and {LONG_MESSAGES - 30}"
        execute(full_database_url, f"delete from messages where {where}")
    history = use_cases(await open_database(full_database_url), **defaults)
    with recording(monkeypatch, full_database_url) as recorder:
        for limits in LIMITS:
            window = await history.windows.get(caller(), LONG, limits)
            found = await last_plan(recorder)
            scans = [node.rows_read for node in found if node.table == "messages"]
            assert len(scans) == (NEWEST_SCANS if limits.before_sequence is None else WHOLE_SCANS)
            assert max(scans) <= len(window.messages) + 1 + PINS, (limits, scans)
            assert found.rows("sessions") == 1


async def test_a_window_without_pinned_messages_reads_one_more_than_it_holds(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pinned messages the scans visit the window's messages, and the one that is cut off.

    In a window of the past they also visit the one before that.
    """
    with recording(monkeypatch, full_database_url) as recorder:
        for limits in LIMITS:
            window = await full_history.windows.get(caller(), "session-2", limits)
            found = await last_plan(recorder)
            scans = [node.rows_read for node in found if node.table == "messages"]
            cut_off = 1 if limits.before_sequence is None else 2
            assert max(scans) <= len(window.messages) + cut_off, (limits, scans)


async def test_a_window_of_whole_turns_reads_what_it_may_hold(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan visits two messages more than the turns have, and at most one more than the limits allow.

    Each turn is a question and its answer, except that the second half of the session is one turn.
    """
    execute(
        full_database_url,
        f"update messages set turn_id = 'long' where sequence > {LONG_MESSAGES // 2}",
        "vacuum analyze messages",
    )
    middle = LONG_MESSAGES // 2
    for before, most, turns, held, read in (
        (middle, 1_000, 3, 5, 7),
        (middle, 1_000, 0, 0, 2),
        (middle, 8, 1_000, 7, 9),
        (LONG_MESSAGES, 500, 1, 0, 501),
        (middle + 50, 1_000, 2, 50, 53),
    ):
        limits = WindowLimits(most, before_sequence=before, include_pinned=False, max_turns=turns)
        with recording(monkeypatch, full_database_url) as recorder:
            window = await full_history.windows.get(caller(), LONG, limits)
            found = await last_plan(recorder)
        scans = [node.rows_read for node in found if node.table == "messages"]
        assert (len(window.messages), max(scans)) == (held, read), (limits, scans)


@pytest.mark.parametrize("before", [None, LONG_MESSAGES // 2 + 13])
async def test_a_stepped_window_reads_little_more_than_it_holds(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch, before: int | None
) -> None:
    """A scan visits three messages more, of which one is pinned; with a step of messages, twice as many."""
    for limits in (
        WindowLimits(1_000, 1_000, step_tokens=250),
        WindowLimits(1_000, 5_000, step_tokens=2_500),
        WindowLimits(1_000, 2**31 - 1, step_tokens=2**31 - 1),
        WindowLimits(1_000, 505, step_tokens=100, step_messages=500),
        WindowLimits(100, 505, step_tokens=100, step_messages=20),
        WindowLimits(100, 2**31 - 1, step_messages=20),
        WindowLimits(1_000, step_messages=500),
    ):
        asked = limits._replace(before_sequence=before, include_pinned=False)
        with recording(monkeypatch, full_database_url) as recorder:
            window = await full_history.windows.get(caller(), LONG, asked)
            found = await last_plan(recorder)
        scans = [node.rows_read for node in found if node.table == "messages"]
        held = len(window.messages)
        assert held > 0
        assert max(scans) <= (2 * held if limits.step_messages else held) + 3, (limits, held, scans)


async def test_whole_responses_read_one_message_more(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message before the run is read once for each window, and not for each of its messages."""
    with recording(monkeypatch, full_database_url) as recorder:
        read = []
        for whole in (True, False):
            asked = WindowLimits(100, include_pinned=False, step_messages=2, whole_responses=whole)
            assert (await full_history.windows.get(caller(), LONG, asked)).messages
            read.append((await last_plan(recorder)).rows("messages"))
    assert read[0] <= read[1] + 2


@pytest.mark.parametrize("count", [1, 500])
async def test_an_append_reads_no_message(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """An append to a session of 50,000 messages is one statement, which visits no message.

    If the sessions are distributed, further ones insert the messages, as values, and read nothing.
    """
    with recording(monkeypatch, full_database_url) as recorder:
        await full_history.messages.append(
            caller(), append(LONG, *(new_message(f"new-{n}") for n in range(count)))
        )
        assert recorder.connection
        statement, *inserts = recorder.take()
        assert bool(inserts) == recorder.connection.is_distributed
        text = statement.parameters.get("messages", "").replace("new-", "newer-")
        again = statement._replace(parameters=statement.parameters | {"messages": text})
        found = await plan(recorder.connection, again, execute=True)
    assert (found.rows("messages"), found.rows("sessions")) == (0, 1)


async def test_a_retried_append_reads_what_it_returns(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retried batch in a session of 50,000 messages visits its own messages and no others."""
    batch = append(LONG, *(new_message(f"new-{n}") for n in range(500)))
    await full_history.messages.append(caller(), batch)
    with recording(monkeypatch, full_database_url) as recorder:
        appended, _ = (await full_history.messages.append(caller(), batch))[1:]
        found = await last_plan(recorder)
    assert [m.content.message_id for m in appended.messages] == [f"new-{n}" for n in range(500)]
    assert found.rows("messages") == 500


async def test_a_truncation_reads_what_it_removes(
    open_database: Callable[..., Awaitable[Database]],
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A truncation of 30 of 50,000 messages visits these, to find the last of them and to remove them."""
    messages = use_cases(await open_database(full_database_url)).messages
    with recording(monkeypatch, full_database_url) as recorder:
        await messages.truncate(caller(), LONG, LONG_MESSAGES - 30, expected_last_sequence=None)
        remove = recorder.take()[-1]
        more = remove.parameters | {"after": LONG_MESSAGES - 60}
        assert recorder.connection
        found = await plan(recorder.connection, remove._replace(parameters=more), execute=True)
    assert (found.rows("messages"), found.rows("sessions")) == (60, 1)


@pytest.mark.parametrize("descending", [False, True])
async def test_a_late_page_of_messages_reads_what_the_first_reads(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch, *, descending: bool
) -> None:
    """Page 200 of 50,000 messages visits as many rows as page 1: the page's and one more."""
    wanted, token = MessageFilter(descending=descending), ""
    with recording(monkeypatch, full_database_url) as recorder:
        for number in range(1, 201):
            found, token = await full_history.messages.find(
                caller(), LONG, wanted, page_size=50, page_token=token
            )
            if number in (1, 200):
                assert len(found) == 50
                assert (await last_plan(recorder)).rows("messages") == 51
    assert {found[0].sequence, found[-1].sequence} in ({9_951, 10_000}, {40_001, 40_050})


@pytest.mark.parametrize("by_creation", [False, True])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("user_id", [None, HEAVY_USER])
async def test_a_late_page_of_sessions_reads_what_the_first_reads(
    full_history: UseCases,
    full_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    by_creation: bool,
    ascending: bool,
    user_id: str | None,
) -> None:
    """Page 200 of sessions, of one user or all, in any order, visits no more rows than page 1 may.

    A user's sessions by activity are read from two halves of an index: open sessions and the others. On Citus
    that holds for each shard.
    """
    halves = 2 if user_id and not by_creation else 1
    order = {"by_creation": by_creation, "ascending": ascending}
    wanted, token = SessionFilter(show_deleted=True, **order), ""
    with recording(monkeypatch, full_database_url) as recorder:
        for number in range(1, 201):
            found, token = await full_history.sessions.find(
                caller(user_id), wanted, page_size=20, page_token=token
            )
            if number in (1, 200):
                assert len(found) == 20
                assert 21 <= (await last_plan(recorder)).rows("sessions") <= 21 * halves


@pytest.mark.one_machine("the applications of a shard's sessions are in no regular order")
async def test_sessions_of_other_applications_are_skipped(
    full_history: UseCases, full_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ten applications a page of one application's sessions visits ten times as many rows.

    That holds for any page.
    """
    wanted = SessionFilter(application_id=APPLICATION, by_creation=True)
    token = ""
    with recording(monkeypatch, full_database_url) as recorder:
        for number in range(1, 21):
            found, token = await full_history.sessions.find(
                caller(HEAVY_USER), wanted, page_size=20, page_token=token
            )
            assert {session.application_id for session in found} == {APPLICATION}
            if number in (1, 20):
                assert (await last_plan(recorder)).rows("sessions") <= 21 * APPLICATIONS
