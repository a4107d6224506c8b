"""Each statement uses the indexes that are meant for it."""
# ruff: noqa: SLF001 - the statements are private to the store

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from store_calls import call_everything, make_two_pages
from store_support import use_cases

from sessionhistory_server.store import (
    advisory_locks,
    forks,
    guard,
    messages,
    summaries,
    tokens,
    truncation,
    void_summaries,
)
from sessionhistory_server.store.appends import replace, retries, shared, storing
from sessionhistory_server.store.sessions import active, lifecycle, purging, state
from sessionhistory_server.store.windows import statements
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database
    from support.plans import Statement

# By statement: the indexes that it reads; where there are two sets, either is right.
PLANS: dict[str, list[set[str]]] = {
    "append": [{"sessions_pkey"}],
    "append: at once": [{"sessions_pkey"}],
    "append: shared": [{"sessions_pkey"}],
    "append: create": [set()],
    "snapshot": [{"sessions_pkey"}],
    "append: stored": [{"sessions_pkey", "messages_by_id"}],
    "snapshot: lock": [{"sessions_pkey"}],
    "truncate: remove": [{"sessions_pkey", "messages_pkey"}],
    "replace: first": [{"messages_pkey"}],
    "fork": [{"sessions_pkey", "messages_pkey", "summaries_pkey"}],
    "fork: sweep": [{"sessions_pkey", "summaries_pkey"}],
    "reset: close": [{"sessions_pkey"}],
    "fork: both": [{"sessions_pkey"}],
    "session: create": [set()],
    "session: get": [{"sessions_pkey"}],
    "session: taken": [{"sessions_pkey"}],
    "session: change": [{"sessions_pkey"}],
    "state: lock": [{"sessions_pkey"}],
    "state: read locked": [{"sessions_pkey"}],
    "state: set": [{"sessions_pkey"}],
    "session: delete": [{"sessions_pkey"}],
    "session: undelete": [{"sessions_pkey"}],
    "session: deletion": [{"sessions_pkey"}],
    "session: purge": [{"sessions_pkey"}],
    "purge: messages": [{"messages_pkey"}, {"messages_by_id"}],
    "purge: summaries": [{"summaries_pkey"}],
    "purge: due": [{"sessions_by_purge"}],
    "purge: sessions": [{"sessions_pkey"}],
    "job: lock": [set()],
    "sessions of all, by activity": [{"sessions_by_activity"}],
    "sessions of all, by creation": [{"sessions_by_creation"}],
    "sessions of all, by activity, earliest first": [{"sessions_by_activity"}],
    "sessions of all, by creation, earliest first": [{"sessions_by_creation"}],
    "sessions of a user, by activity": [{"sessions_by_user_open_activity"}],
    "sessions of a user, active ones": [{"sessions_by_user_open_activity"}],
    "sessions of a user, by creation": [{"sessions_by_user_creation"}],
    "sessions of a user, by activity, earliest first": [{"sessions_by_user_open_activity"}],
    "sessions of a user, active ones, earliest first": [{"sessions_by_user_open_activity"}],
    "sessions of a user, by creation, earliest first": [{"sessions_by_user_creation"}],
    "active session: newest": [{"sessions_by_user_open_activity"}],
    "active session: lock": [set()],
    "message: by id": [{"sessions_pkey", "messages_by_id"}],
    "message: by sequence": [{"sessions_pkey", "messages_pkey"}],
    "messages, ascending": [{"sessions_pkey", "messages_pkey"}],
    "messages, descending": [{"sessions_pkey", "messages_pkey"}],
    "recount: sessions": [{"sessions_pkey"}],
    "recount: messages": [{"messages_pkey"}],
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
    "compaction: forget void": [{"summaries_pkey", "messages_pkey"}],
    "sweep: next": [{"summaries_pkey", "sessions_pkey"}],
    "sweep: forget all": [{"sessions_pkey", "summaries_pkey"}],
    "compaction: forget": [{"summaries_pkey"}],
    "compaction: store": [{"messages_pkey", "summaries_pkey"}],
    "compaction: mark": [{"sessions_pkey"}],
    "compaction: unmark": [{"sessions_pkey", "summaries_pkey"}],
}

# With few rows and no statistics the index of all sessions is as good as that of a user's.
FEW = {
    "sessions of a user, by activity": [{"sessions_by_activity"}],
    "sessions of a user, by creation": [{"sessions_by_creation"}],
}
FEW |= {f"{name}, earliest first": indexes for name, indexes in FEW.items()}

# These sort no rows of the table: a page reads only its own rows.
LISTS = {name for name in PLANS if name.startswith(("sessions of", "messages, ", "purge: due", "recount: "))}

_NAMES = {
    storing.APPEND.whole: "append",
    storing.APPEND_AT_ONCE.whole: "append: at once",
    storing.CREATE.whole: "append: create",
    active._NEWEST: "active session: newest",
    advisory_locks._LOCK: "active session: lock",
    state._LOCK: "state: lock",
    state._READ_LOCKED: "state: read locked",
    state._SET: "state: set",
    retries._STORED: "append: stored",
    guard._READ: "snapshot",
    guard._LOCK: "snapshot: lock",
    truncation._REMOVE: "truncate: remove",
    forks._FORK: "fork",
    forks._SWEEP: "fork: sweep",
    forks._CLOSE: "reset: close",
    forks._BOTH: "fork: both",
    replace._FIRST_AFTER: "replace: first",
    lifecycle._CREATE: "session: create",
    lifecycle._GET: "session: get",
    lifecycle._TAKEN: "session: taken",
    lifecycle._DELETE: "session: delete",
    lifecycle._UNDELETE: "session: undelete",
    lifecycle._DELETION: "session: deletion",
    purging._PURGE: "session: purge",
    purging._PURGE_MESSAGES: "purge: messages",
    purging._DUE: "purge: due",
    purging._PURGE_DUE: "purge: sessions",
    advisory_locks._TRY: "job: lock",
    messages._GET_BY_ID: "message: by id",
    messages._GET_BY_SEQUENCE: "message: by sequence",
    shared._APPEND: "append: shared",
    tokens._NEXT_SESSIONS: "recount: sessions",
    tokens._LOCK: "recount: lock",
    tokens._NEXT_LOCKED: "recount: present",
    tokens._REPLACE: "recount: exchange",
    tokens._FINISH: "recount: finish",
    tokens._REPLACE_SUMMARIES: "recount: weigh",
    statements.PLAIN: "windows",
    statements.WHOLE: "windows with summaries and turns",
    summaries._PLACE: "compaction: place",
    summaries._STORED: "compaction: stored",
    summaries._REMOVE_AFTER: "compaction: forget",
    summaries._REMOVE_VOID: "compaction: forget void",
    void_summaries._NEXT: "sweep: next",
    void_summaries._REMOVE_ALL: "sweep: forget all",
    summaries._STORE: "compaction: store",
    summaries._MARK: "compaction: mark",
    summaries._UNMARK: "compaction: unmark",
    purging._PURGE_SUMMARIES: "purge: summaries",
}


def name_of(statement: Statement) -> str:
    """Return the statement's name in ``PLANS``; an unknown statement is a KeyError."""
    text = " ".join(statement.text.split())
    if text.startswith("update sessions set ") and statement.text not in _NAMES:
        return "session: change"
    for table in ("summaries", "messages"):
        if text.startswith("select * from (") and f" from {table} where " in text:
            return f"recount: {table}"
    if text.startswith("select page.* from (") and " from messages where " in text:
        return f"messages, {'descending' if ' order by sequence desc' in text else 'ascending'}"
    if text.startswith("select * from (") and " from sessions where " in text:
        owner = "a user" if "user_id = %(user_id)s" in text else "all"
        order = "creation" if " order by create_time " in text else "activity"
        direction = ", earliest first" if " asc, session_key asc" in text else ""
        if owner == "a user" and " union all " not in text and order == "activity":
            return f"sessions of a user, active ones{direction}"
        return f"sessions of {owner}, by {order}{direction}"
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
    """Each statement is in the table, is prepared, and reads its indexes; no list sorts more than a page.

    The plans hold with many rows, and with few rows and no statistics.
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
