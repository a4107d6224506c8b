"""Each statement and the indexes it is served by."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_calls import call_everything, make_two_pages
from store_support import use_cases

from sessionhistory_server.store import (
    active_sessions,
    append_stream,
    compaction,
    forks,
    messages,
    purging,
    recount,
    sessions,
    shared_append,
    standing,
    state,
    truncation,
    window_statements,
)
from sessionhistory_server.store import append as appending
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.database import Database
    from support.plans import Statement

# By statement: the indexes that it reads; where there are two sets, either will do.
PLANS: dict[str, list[set[str]]] = {
    "append": [{"sessions_pkey"}],
    "append: at once": [{"sessions_pkey"}],
    "append: shared": [{"sessions_pkey"}],
    "append: create": [set()],
    "append: standing": [{"sessions_pkey"}],
    "append: stored": [{"messages_by_id"}],
    "stream: stored": [{"messages_by_id"}],
    "truncate: lock": [{"sessions_pkey"}],
    "truncate: remove": [{"sessions_pkey", "messages_pkey"}],
    "replace: first": [{"messages_pkey"}],
    "fork": [{"sessions_pkey", "messages_pkey", "summaries_pkey"}],
    "fork: sweep": [{"sessions_pkey", "summaries_pkey"}],
    "reset: close": [{"sessions_pkey"}],
    "session: create": [set()],
    "session: get": [{"sessions_pkey"}],
    "session: is taken": [{"sessions_pkey"}],
    "session: change": [{"sessions_pkey"}],
    "state: lock": [{"sessions_pkey"}],
    "state: of locked": [{"sessions_pkey"}],
    "state: set": [{"sessions_pkey"}],
    "session: delete": [{"sessions_pkey"}],
    "session: undelete": [{"sessions_pkey"}],
    "session: purge": [{"sessions_pkey"}],
    "purge: messages": [{"messages_pkey"}, {"messages_by_id"}],
    "purge: summaries": [{"summaries_pkey"}],
    "purge: due": [{"sessions_by_purge"}],
    "purge: sessions": [{"sessions_pkey"}],
    "sessions of all, by activity": [{"sessions_by_activity"}],
    "sessions of all, by creation": [{"sessions_by_creation"}],
    "sessions of a user, by activity": [{"sessions_by_user_open_activity"}],
    "sessions of a user, active ones": [{"sessions_by_user_open_activity"}],
    "sessions of a user, by creation": [{"sessions_by_user_creation"}],
    "active session: newest": [{"sessions_by_user_open_activity"}],
    "active session: lock": [set()],
    "message: by id": [{"sessions_pkey", "messages_by_id"}],
    "message: by sequence": [{"sessions_pkey", "messages_pkey"}],
    "messages: is live": [{"sessions_pkey"}],
    "messages, ascending": [{"messages_pkey"}],
    "messages, descending": [{"messages_pkey"}],
    "recount: sessions": [{"sessions_pkey"}],
    "recount: lock": [{"sessions_pkey"}],
    "recount: present": [{"messages_pkey"}],
    "recount: exchange": [set()],
    "recount: finish": [{"sessions_pkey"}],
    "recount: summaries": [{"summaries_pkey"}],
    "recount: weigh": [{"summaries_pkey"}],
    "windows": [{"sessions_pkey", "messages_pkey", "messages_pinned"}],
    "windows with summaries and turns": [
        {"sessions_pkey", "summaries_pkey", "messages_pkey", "messages_pinned"}
    ],
    "compaction: place": [{"messages_pkey"}],
    "compaction: stored": [{"summaries_pkey"}],
    "compaction: forget": [{"summaries_pkey"}],
    "compaction: store": [{"messages_pkey", "summaries_pkey"}],
    "compaction: mark": [{"sessions_pkey"}],
    "compaction: unmark": [{"sessions_pkey", "summaries_pkey"}],
}

# With few rows and no statistics the list of all is as good as a user's own.
FEW = {
    "sessions of a user, by activity": [{"sessions_by_activity"}],
    "sessions of a user, by creation": [{"sessions_by_creation"}],
}

# No row is read to be sorted: a page costs what it holds.
LISTS = {name for name in PLANS if name.startswith(("sessions of", "messages, ", "purge: due", "recount: "))}

_NAMES = {
    appending._APPEND: "append",
    appending._AT_ONCE: "append: at once",
    appending._CREATE: "append: create",
    active_sessions._NEWEST: "active session: newest",
    active_sessions._LOCK: "active session: lock",
    state._LOCK: "state: lock",
    state._OF_LOCKED: "state: of locked",
    state._SET: "state: set",
    appending._STORED: "append: stored",
    append_stream._STORED: "stream: stored",
    standing._STANDING: "append: standing",
    standing._LOCK: "truncate: lock",
    truncation._REMOVE: "truncate: remove",
    forks._FORK: "fork",
    forks._SWEEP: "fork: sweep",
    forks._CLOSE: "reset: close",
    truncation._FIRST_AFTER: "replace: first",
    sessions._CREATE: "session: create",
    sessions._GET: "session: get",
    sessions._IS_TAKEN: "session: is taken",
    sessions._DELETE: "session: delete",
    sessions._UNDELETE: "session: undelete",
    purging._PURGE: "session: purge",
    purging._PURGE_MESSAGES: "purge: messages",
    purging._DUE: "purge: due",
    purging._PURGE_DUE: "purge: sessions",
    messages._GET_BY_ID: "message: by id",
    messages._GET_BY_SEQUENCE: "message: by sequence",
    messages._IS_LIVE: "messages: is live",
    shared_append._APPEND: "append: shared",
    recount._NEXT_SESSIONS: "recount: sessions",
    recount._LOCK: "recount: lock",
    recount._PRESENT: "recount: present",
    recount._EXCHANGE: "recount: exchange",
    recount._FINISH: "recount: finish",
    recount._WEIGH: "recount: weigh",
    window_statements.PLAIN: "windows",
    window_statements.WHOLE: "windows with summaries and turns",
    compaction._PLACE: "compaction: place",
    compaction._STORED: "compaction: stored",
    compaction._FORGET: "compaction: forget",
    compaction._STORE: "compaction: store",
    compaction._MARK: "compaction: mark",
    compaction._UNMARK: "compaction: unmark",
    purging._PURGE_SUMMARIES: "purge: summaries",
}


def name_of(statement: Statement) -> str:
    """Return the name in ``PLANS``; a statement that no one has thought of has none."""
    text = " ".join(statement.text.split())
    if text.startswith("update sessions set ") and statement.text not in _NAMES:
        return "session: change"
    if text.startswith("select * from (") and " from summaries where " in text:
        return "recount: summaries"
    if text.startswith("select * from (") and " from messages where " in text:
        return f"messages, {'descending' if ' order by sequence desc' in text else 'ascending'}"
    if text.startswith("select * from (") and " from sessions where " in text:
        owner = "a user" if "user_id = %(user_id)s" in text else "all"
        order = "creation" if " order by create_time desc" in text else "activity"
        if owner == "a user" and " union all " not in text and order == "activity":
            return "sessions of a user, active ones"
        return f"sessions of {owner}, by {order}"
    return _NAMES[statement.text]  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "exceptions"), [("full_database_url", {}), ("database_url", FEW)], ids=["many", "few"]
)
async def test_every_statement_is_served_by_its_indexes(
    open_database: Callable[..., Awaitable[Database]],
    url: str,
    exceptions: dict[str, list[set[str]]],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All statements are in the table, prepared, and read by its indexes; no list sorts more than a page.

    That is so with many rows, and with few and no statistics.
    """
    database_url = request.getfixturevalue(url)
    database = await open_database(database_url)
    history = use_cases(database)
    await make_two_pages(history)
    with recording(monkeypatch, database_url) as recorder:
        await call_everything(history, database)
    assert recorder.connection
    seen = set()
    for statement in recorder.take():
        name = name_of(statement)
        found = await plan(recorder.connection, statement)
        assert found.indexes in PLANS[name] + exceptions.get(name, []), (name, statement.text)
        assert not found.whole_tables, (name, statement.text)
        if name in LISTS:
            assert not found.unbounded_sorts, (name, statement.text)
        seen.add(name)
    assert seen == PLANS.keys()
