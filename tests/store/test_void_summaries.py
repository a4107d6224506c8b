"""Summaries that an older release leaves behind are not used, and the sweep removes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from store_support import append, compact, new_message, use_cases

from sessionhistory_server import call_context
from sessionhistory_server.background import retention
from sessionhistory_server.call_context import CallContext
from sessionhistory_server.model.session import SessionContent
from sessionhistory_server.model.window import WindowLimits
from sessionhistory_server.store import void_summaries
from support.callers import caller
from support.databases import execute
from support.locks import locked_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database

# A release before summaries truncates and purges in this way.
CUT = """
delete from messages using sessions
where session_id = 'cut' and messages.session_key = sessions.session_key and sequence > 3
"""
COUNT = """
update sessions set message_count = 3, total_tokens = 30, unpinned_tokens = 30, unpinned_bytes = 900
where session_id = 'cut'
"""
PURGE = """
delete from messages using sessions
where session_id = 'gone' and messages.session_key = sessions.session_key
"""
FORGET = "delete from sessions where session_id = 'gone'"
LEFT = """
select coalesce(session_id, 'gone'), through_sequence
from summaries left join sessions using (session_key) order by 1, 2
"""


@pytest.fixture
async def left_behind(open_database: Callable[..., Awaitable[Database]], database_url: str) -> Database:
    """Three sessions with summaries through 2 and 5: one unchanged, one truncated, one purged."""
    database = await open_database(database_url)
    history = use_cases(database)
    for session_id in ("whole", "cut", "gone"):
        messages = [new_message() for _ in range(6)]
        await history.messages.append(caller(), append(session_id, *messages, new_session=SessionContent()))
        for through in (2, 5):
            await compact(database, session_id, through)
    execute(database_url, CUT, COUNT, PURGE, FORGET)
    return database


async def test_only_what_stands_for_something_is_left(
    left_behind: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep goes on slice by slice, begins again after the last one, and leaves valid summaries."""
    monkeypatch.setattr(retention, "SLICE_SUMMARIES", 2)
    places = [void_summaries.START]
    while len(places) == 1 or places[-1] != void_summaries.START:
        places.append(await retention.sweep_slice(left_behind, places[-1]))
        assert len(places) < 9
    assert len(places) > 3
    assert execute(database_url, LEFT) == [("cut", 2), ("whole", 2), ("whole", 5)]
    reached = "select compacted_through_sequence from sessions order by session_id"
    assert execute(database_url, reached) == [(2,), (5,)]


async def test_a_locked_session_holds_up_no_other(left_behind: Database, database_url: str) -> None:
    """A locked session is skipped; the next pass removes its void summaries."""
    call_context.begin(CallContext("r", "m", time.monotonic() + 0.1))  # the longest wait for a lock
    with locked_session(database_url, "cut"):
        assert await retention.sweep_slice(left_behind, void_summaries.START) == void_summaries.START
        assert execute(database_url, LEFT) == [("cut", 2), ("cut", 5), ("whole", 2), ("whole", 5)]
    assert await retention.sweep_slice(left_behind, void_summaries.START) == void_summaries.START
    assert execute(database_url, LEFT) == [("cut", 2), ("whole", 2), ("whole", 5)]


async def test_a_sweep_changes_no_window(left_behind: Database) -> None:
    """A window ignores a void summary even before the sweep."""
    history = use_cases(left_behind)
    for _ in range(2):
        windows = [await history.windows.get(caller(), name, WindowLimits()) for name in ("cut", "whole")]
        found = [(window.messages[0].content.content, len(window.messages)) for window in windows]
        assert found == [("in short", 2), ("in short", 2)]
        assert await retention.sweep_slice(left_behind, void_summaries.START) == void_summaries.START
