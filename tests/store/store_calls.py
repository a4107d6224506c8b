"""Calls of every use case, so that every statement is sent that there is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from store_support import HEAVY_USER, LONG, append, compact, edits_on, new_message

from sessionhistory_server import retention
from sessionhistory_server.append_stream import AppendStreams
from sessionhistory_server.errors import SessionHistoryError
from sessionhistory_server.lifecycle import ActiveSessions
from sessionhistory_server.model import CHARACTERS, SessionContent, StateChange, WindowLimits
from sessionhistory_server.recount import Recounts
from sessionhistory_server.state import SessionState
from sessionhistory_server.store import recount
from sessionhistory_server.store.messages import MessageFilter
from sessionhistory_server.store.session_list import SessionFilter
from sessionhistory_server.tokens import TokenCounters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from sessionhistory_server.history import SessionHistory
    from sessionhistory_server.store.database import Database


def session_filters() -> Iterator[SessionFilter]:
    """Each filter alone and all together, in both orders, of one user and of all; each lets some through."""
    filters: dict[str, Any] = {
        "statuses": ("ACTIVE", "COMPLETED"),
        "labels": {"colour": "3"},
        "title_contains": "about 1",
        "create_time_after": 1,
        "create_time_before": 2**60,
        "active_after": 1,
        "active_before": 2**60,
        "show_deleted": True,
    }
    for user_id in (None, HEAVY_USER):
        for by_creation in (False, True):
            for chosen in ({}, *({name: value} for name, value in filters.items()), filters):
                yield SessionFilter(user_id=user_id, by_creation=by_creation, **chosen)
    yield SessionFilter(user_id=HEAVY_USER, statuses=("ACTIVE",))


def message_filters() -> Iterator[MessageFilter]:
    """Each filter alone and all together, in both directions; each lets some through."""
    filters: dict[str, Any] = {
        "after_sequence": 3,
        "before_sequence": 90,
        "roles": ("USER", "ASSISTANT"),
        "create_time_after": 1,
        "create_time_before": 2**60,
    }
    for descending in (False, True):
        for chosen in ({}, *({name: value} for name, value in filters.items()), filters):
            yield MessageFilter(descending=descending, **chosen)


async def call_everything(history: SessionHistory, database: Database) -> None:
    """Call every use case, so that every statement is sent that there is."""
    await call_sessions(history)
    await call_messages(history, database)
    await call_edits(history, database)
    await call_streams(history, AppendStreams(database, history))
    await SessionState(database).patch("chat", "u", StateChange("{}", None))
    active = ActiveSessions(database, token_counter="characters", delete_retention=timedelta(days=30))
    await active.get("u")
    for user_id in ("u", "somebody"):
        await active.get_or_create(user_id, "", SessionContent(user_id=user_id))
    assert await retention.purge_batch(database)
    await Recounts(database, TokenCounters(CHARACTERS)).session("chat", None)
    assert await database.read(lambda c: recount.next_sessions(c, f"{0:032x}", limit=1))
    for wanted in session_filters():
        _, token = await history.list_sessions(wanted, page_size=1, page_token="")
        await history.list_sessions(wanted, page_size=1, page_token=token)
        assert token
    for each in message_filters():
        _, token = await history.list_messages(LONG, None, each, page_size=1, page_token="")
        await history.list_messages(LONG, None, each, page_size=1, page_token=token)
        assert token


async def call_sessions(history: SessionHistory) -> None:
    """Make, read, change, delete, restore and purge sessions; some of it in vain."""
    content = SessionContent(user_id="u", labels={"a": "b"}, expire_time=2**60)
    await history.create_session("new", content, allow_existing=False)
    await history.create_session("new", content, allow_existing=True)
    await refused(history.create_session("new", content, allow_existing=False), "SESSION_EXISTS")
    await history.create_session("due", SessionContent(expire_time=0), allow_existing=False)
    etag = (await history.get_session("new", None)).etag
    for changes in CHANGES:
        etag = (await history.update_session("new", "u", changes, etag=etag)).etag
        etag = (await history.update_session("new", None, changes, etag=None)).etag
    await refused(history.update_session("new", None, {}, etag="1-1"), "ETAG_MISMATCH")
    await history.delete_session("new", "u", purge=False)
    await history.undelete_session("new", "u")
    await refused(history.undelete_session("new", None), "SESSION_NOT_DELETED")
    await history.delete_session("new", None, purge=True)


CHANGES: list[dict[str, Any]] = [
    {"title": None, "labels": {"a": "b"}},
    {"status": "COMPLETED", "state": "{}"},
    {"status": "ACTIVE", "metadata": None},
    {"expire_time": 2**60},
    {"expire_time": None},
    {"ttl": 10**12, "history_max_messages": 5},
]


async def call_messages(history: SessionHistory, database: Database) -> None:
    """Append and read messages; some of it in vain."""
    owner = SessionContent(user_id="u")
    first = append("chat", new_message("1", pinned=True), new_message("2"), user_id="u", create_session=owner)
    await history.append(first)
    await history.append(first)
    await history.append(append("chat", history=WindowLimits(token_budget=5), expected_last_sequence=2))
    await refused(history.append(append("chat", expected_last_sequence=2)), "SEQUENCE_MISMATCH")
    await refused(history.append(append("nowhere")), "SESSION_NOT_FOUND")
    change = StateChange('{"a": 1}', None)
    await history.append(append("chat", state=change, expected_last_sequence=3))
    await history.append(append("patched", state=change, create_session=owner))
    await asyncio.gather(*[history.append(append("patched")) for _ in range(2)])
    await history.get_message("chat", "u", message_id="1", sequence=None)
    await history.get_message("chat", None, message_id=None, sequence=2)
    await history.get_history("chat", "u", WindowLimits())
    await history.get_history("chat", "u", WindowLimits(max_turns=2))
    await compact(database, "chat", 2)
    await history.get_history("chat", "u", WindowLimits())


async def call_edits(history: SessionHistory, database: Database) -> None:
    """Remove messages, replace some, and make sessions of sessions."""
    edits = edits_on(database)
    await history.append(append("talk", *[new_message()] * 3, create_session=SessionContent()))
    replacement = append("talk", new_message("1"), replace_after_sequence=1)
    await history.append(replacement)
    await history.append(replacement)
    await compact(database, "talk", 4)
    await edits.truncate("talk", None, 1, expected_last_sequence=4)
    plan = edits.plan("talk", None, "fork", SessionContent(user_id="u"))
    await edits.fork(plan, up_to_sequence=1, allow_existing=False)
    await edits.fork(plan, up_to_sequence=1, allow_existing=True)
    await edits.reset(
        edits.plan("talk", None, "", SessionContent()),
        keep_history=True,
        keep_state=True,
        previous_status="COMPLETED",
    )


async def call_streams(history: SessionHistory, streams: AppendStreams) -> None:
    """Begin, break and finish a stream."""
    broken = append("stream", new_message("m", status="INTERRUPTED"), create_session=SessionContent())
    await streams.check(broken)
    await streams.keep(broken, patient=False)
    await streams.store(append("stream", new_message("m")))
    await history.update_session("stream", None, {"status": "COMPLETED"}, etag=None)
    await streams.check(append("stream", new_message("m")))


async def refused(call: Awaitable[object], reason: str) -> None:
    """Make a call that fails."""
    with pytest.raises(SessionHistoryError) as caught:
        await call
    assert caught.value.reason == reason


async def make_two_pages(history: SessionHistory) -> None:
    """Make sure that every list has a second page."""
    for session_id in (LONG, "session-2"):
        content = SessionContent(user_id=HEAVY_USER, title="about 1", labels={"colour": "3"})
        await history.append(append(session_id, *[new_message()] * 9, create_session=content))
