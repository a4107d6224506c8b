"""Each statement uses the indexes that are meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from statement_names import name_of
from store_calls import call_everything, make_two_pages
from store_support import use_cases

from support import citus
from support.plans import plan, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionhistory_server.store.postgres.database import Database

# Unless its setting forbids it, a connection may exchange the plan of a statement after five executions.
EXECUTIONS = 10

# By statement: the indexes that it reads; where there are two sets, either is right.
PLANS: dict[str, list[set[str]]] = {
    "snapshot": [{"sessions_pkey"}],
    "append: stored": [{"sessions_pkey", "messages_by_id"}],
    "snapshot: lock": [{"sessions_pkey"}],
    "snapshot: holder": [{"sessions_pkey"}],
    "truncate: remove": [{"sessions_pkey", "messages_pkey"}],
    "replace: first": [{"messages_pkey"}],
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
    "purge: messages": [{"messages_pkey"}],
    "purge: summaries": [{"summaries_pkey"}],
    "purge: due": [{"sessions_by_purge"}],
    "purge: sessions": [{"sessions_pkey"}],
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
    "compaction: place": [{"messages_pkey"}],
    "compaction: stored": [{"summaries_pkey"}],
    "compaction: forget void": [{"summaries_pkey", "messages_pkey"}],
    "sweep: next": [{"summaries_pkey", "sessions_pkey"}],
    "sweep: forget all": [{"sessions_pkey", "summaries_pkey"}],
    "compaction: forget": [{"summaries_pkey"}],
    "compaction: store": [{"messages_pkey", "summaries_pkey"}],
    "compaction: mark": [{"sessions_pkey"}],
    "compaction: unmark": [{"sessions_pkey", "summaries_pkey"}],
    "signing: keys": [{"signing_keys_pkey"}],
    "signing: lock": [set()],
    "signing: make": [set(), {"signing_keys_pkey"}],
    "signing: forget": [set(), {"signing_keys_pkey"}],
    "generations: state": [set()],
    "generations: next": [set()],
    "refusals: forget": [set()],
    "refusals: count": [set(), {"refused_tokens_by_tenant"}, {"refused_tokens_pkey"}],
    "refusals: refuse": [set()],
    "refusals: list": [{"refused_tokens_by_tenant"}],
    "refusals: changed": [{"refused_tokens_by_generation"}],
    "keys: count": [set(), {"api_keys_by_tenant"}],
    "keys: forget": [set()],
    "keys: create": [set()],
    "keys: registered": [{"api_keys_by_certificate_name"}],
    "keys: rotate": [{"api_keys_pkey"}],
    "keys: has secret": [{"api_keys_pkey"}],
    "keys: revoke": [{"api_keys_pkey"}],
    "keys: list": [{"api_keys_by_tenant"}],
    "keys: changed": [{"api_keys_by_generation"}],
    "keys: uses": [{"api_keys_pkey"}],
    "limits: read": [set(), {"limits_pkey"}],
    "limits: changed": [{"limits_by_generation"}],
    "limits: set": [set()],
    "limits: unset": [{"limits_pkey"}],
    "limits: count": [set(), {"limits_pkey"}],
    "measure: lock": [{"sessions_pkey"}],
    "measure": [{"sessions_pkey", "messages_pinned", "summaries_pkey"}],
    "usage: add to tenants": [set()],
    "usage: add to users": [set()],
    "usage: read": [{"tenant_usage_pkey", "user_usage_pkey"}],
    "usage: is claimed": [set()],
    "usage: claim": [set()],
    "usage: renew": [{"usage_recounts_pkey"}],
    "usage: next tenant": [{"tenant_usage_pkey"}],
    "usage: counts": [{"user_usage_pkey"}],
    "usage: lock": [{"tenant_usage_pkey"}],
    "usage: forget users": [{"user_usage_pkey"}],
    "usage: forget tenant": [{"tenant_usage_pkey"}],
    "usage recount: next tenant": [
        {f"sessions_by_{name}"} for name in ("creation", "activity", "user_creation", "user_open_activity")
    ],
    "usage recount: of users": [{"sessions_by_user_creation"}],
    "usage recount: of a user": [{"sessions_by_user_creation"}],
    "usage recount: without user": [{"sessions_by_user_creation"}],
    "usage recount: pinned": [{"messages_pinned"}],
    "usage recount: summaries": [{"summaries_pkey"}],
}

# These read tables with a row or two, or run when a key is created, which is rare.
WHOLE = {
    *("generations: state", "generations: next", "keys: count", "keys: forget"),
    *("refusals: forget", "refusals: count", "limits: read", "limits: count"),
    "usage: is claimed",
} | {name for name in PLANS if name.startswith("signing: ")}

_WINDOW = {"sessions_pkey", "messages_pkey", "messages_pinned"}

ON_ONE_MACHINE: dict[str, list[set[str]]] = {
    "append": [{"sessions_pkey"}],
    "append: at once": [{"sessions_pkey"}],
    "append: shared": [{"sessions_pkey"}],
    "append: create": [set()],
    "active session: lock": [set()],
    "job: lock": [set()],
    "fork": [{"sessions_pkey", "messages_pkey", "summaries_pkey"}],
    "windows": [_WINDOW],
    "windows with summaries and turns": [_WINDOW | {"summaries_pkey"}],
}

# Postgres 15 does not read the row that nobody uses.
LOCK_ON_NODE: list[set[str]] = [{"sessions_pkey"}, set()]

IF_DISTRIBUTED: dict[str, list[set[str]]] = {
    "append: session": [{"sessions_pkey"}],
    "append: create session": [set()],
    "append: messages": [set()],
    "window": [_WINDOW],
    "window with summary and turns": [_WINDOW | {"summaries_pkey"}],
    "active session: lock on node": LOCK_ON_NODE,
    "job: lock on node": LOCK_ON_NODE,
    "fork: source": [{"sessions_pkey"}],
    "fork: session": [set()],
    "fork: messages": [{"messages_pkey"}],
    "fork: summaries": [{"summaries_pkey", "messages_pkey"}, {"summaries_pkey"}],
    "fork: count": [
        {"sessions_pkey", "summaries_pkey", index} for index in ("messages_pkey", "messages_by_id")
    ],
}

# With few rows and no statistics the index of all sessions is as good as that of a user's.
FEW = {
    "sessions of a user, by activity": [{"sessions_by_activity"}],
    "sessions of a user, by creation": [{"sessions_by_creation"}],
}
FEW |= {f"{name}, earliest first": indexes for name, indexes in FEW.items()}
FEW["usage recount: of a user"] = [{"sessions_by_creation"}]

# Citus explains an insert of a query only with values in place of parameters.
UNEXPLAINED = {"fork: messages", "fork: summaries", "compaction: store"} if citus.coordinator_url() else set()

# These sort no rows of the table: a page reads only its own rows.
LISTS = {
    name
    for name in PLANS
    if name.startswith(("sessions of", "messages, ", "purge: due", "recount: ", "usage recount: "))
}


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

    The plans hold with many rows, and with few rows and no statistics. If the database is distributed, they
    hold for the first executions and for later ones.
    """
    database_url = request.getfixturevalue(url)
    database = await open_database(database_url)
    history = use_cases(database)
    await make_two_pages(history)
    with recording(monkeypatch, database_url) as recorder:
        await call_everything(history, database)
    assert recorder.connection
    plans = PLANS | (IF_DISTRIBUTED if database.is_distributed else ON_ONE_MACHINE)
    seen = set()
    for statement in recorder.take():
        name = name_of(statement)
        seen.add(name)
        for _ in range(EXECUTIONS if database.is_distributed else 1):
            found = await plan(recorder.connection, statement, prepared=name not in UNEXPLAINED)
            assert found.indexes in plans[name] + exceptions.get(name, []), (name, statement.text)
            assert not found.whole_tables or name in WHOLE, (name, statement.text)
            if name in LISTS:
                assert not found.unbounded_sorts, (name, statement.text)
    assert seen == plans.keys()
