"""Each statement can run on a database that Citus distributes by ``session_key``."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.pq import TransactionStatus
from statement_names import name_of
from store_calls import call_everything, make_two_pages
from store_support import append, new_message, use_cases

from sessionhistory_server.model.session import SessionContent, StateChange
from sessionhistory_server.store.postgres import trial_write
from sessionhistory_server.store.postgres.connection import Connection
from sessionhistory_server.store.session_ref import SessionRef
from support import citus, distribution
from support.callers import caller
from support.databases import execute
from support.plans import Statement, recording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from store_support import UseCases

    from sessionhistory_server.store.postgres.database import Database
    from support.distribution import Rule

pytestmark = pytest.mark.parametrize("kind_of_statements", [citus.DISTRIBUTED], indirect=True)

_A_LIST = "it lists the sessions of a user, or of all (ADR 51)"
_OF_THE_JOB = "a job in the background looks for its work, once a minute"

# By statement: why it asks all machines.
ON_ALL_MACHINES = {
    **{
        f"sessions of {order}{direction}": _A_LIST
        for order in (
            *("all, by activity", "all, by creation"),
            *("a user, by activity", "a user, by creation", "a user, active ones"),
        )
        for direction in ("", ", earliest first")
    },
    "active session: newest": "it looks among all sessions of a user",
    "purge: due": _OF_THE_JOB,
    "sweep: next": _OF_THE_JOB,
    "recount: sessions": "an operator recounts all sessions",
    **dict.fromkeys(
        (
            *("usage recount: next tenant", "usage recount: of users", "usage recount: without user"),
            "usage recount: of a user",
            *("usage recount: pinned", "usage recount: summaries"),
        ),
        "a job in the background counts all sessions, every ten minutes",
    ),
}

# By statement: why it has several session keys.
OF_SEVERAL_SESSIONS = {
    "purge: due": "it leaves out the sessions that are locked",
    "usage recount: pinned": "the job reads the sessions in pages",
    "usage recount: summaries": "the job reads the sessions in pages",
}

# By rule: the statements that may break it.
RULES: dict[Rule, dict[str, str]] = {
    distribution.without_key: ON_ALL_MACHINES,
    distribution.refused_everywhere: {},
    distribution.batches: OF_SEVERAL_SESSIONS,
    distribution.unstable_choices: {},
}

# By table: why it is not distributed.
# The statements on the tables of credentials, which every machine has.
_ON_EVERY_MACHINE = ("limits: ", "usage: ", "keys: ", "signing: ", "generations: ", "refusals: ")
_OF_CREDENTIALS = "small, and every machine has it: a call reads none of these tables"
_OF_COUNTS = "each worker adds the changes of some seconds at once; a call reads it once a minute at most"
NOT_DISTRIBUTED = {
    "alembic_version": "one row, which migrations write",
    "api_keys": _OF_CREDENTIALS,
    "credential_state": _OF_CREDENTIALS,
    "refused_tokens": _OF_CREDENTIALS,
    "signing_keys": _OF_CREDENTIALS,
    "limits": "small, and every machine has it: a call does not read it",
    "tenant_usage": _OF_COUNTS,
    "user_usage": _OF_COUNTS,
    "usage_recounts": "one row",
}

# The tables of the database, each with its unique indexes that do not begin with session_key.
_UNIQUE_WITHOUT_KEY = """
select pg_class.relname::text, pg_index.indexrelid::regclass::text
from pg_index join pg_class on pg_class.oid = indrelid
left join pg_attribute on attrelid = indrelid and attnum = indkey[0]
where indisunique and relnamespace = 'public'::regnamespace and attname is distinct from 'session_key'
order by 1, 2
"""


async def test_every_statement_can_be_distributed(
    open_database: Callable[..., Awaitable[Database]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement obeys each rule, or the rule's table names it, with a reason, and it breaks the rule."""
    database = await open_database(database_url)
    history = use_cases(database)
    with recording(monkeypatch, database_url) as recorder:
        await make_two_pages(history)
        await call_everything(history, database)
        assert not await database.write(trial_write.write_failure)
    broken: dict[str, set[str]] = defaultdict(set)
    for statement in recorder.take():
        tree = distribution.parse(statement.prepared_text)
        for rule, exceptions in RULES.items():
            if (found := rule(tree)) and not (name := name_of(statement)).startswith(_ON_EVERY_MACHINE):
                assert name in exceptions, f"{name}: {'; '.join(found)}\n{statement.text}"
                broken[rule.__name__].add(name)
    for rule, exceptions in RULES.items():
        idle = exceptions.keys() - broken[rule.__name__]
        assert not idle, f"these statements obey {rule.__name__}, so they need no exception: {idle}"


def test_every_unique_key_begins_with_the_session(database_url: str) -> None:
    """Citus can only guarantee a unique key within a machine."""
    found = execute(database_url, _UNIQUE_WITHOUT_KEY)
    assert {table for table, _ in found} == NOT_DISTRIBUTED.keys(), f"these are unique everywhere: {found}"
    execute(database_url, "create unique index of_all on sessions (session_id, session_key)")
    assert ("sessions", "of_all") in execute(database_url, _UNIQUE_WITHOUT_KEY)


async def _append_with_state(history: UseCases) -> None:
    change = StateChange('{"a": 1}', None)
    await history.messages.append(caller(), append("old", state=change))
    await history.messages.append(caller(), append("new", state=change, new_session=SessionContent()))


async def _replace(history: UseCases) -> None:
    replacement = append("old", new_message("again"), keep_through_sequence=1)
    await history.messages.append(caller(), replacement)
    await history.messages.append(
        caller(), append("old", keep_through_sequence=0, state=StateChange("{}", None))
    )


async def _stream(history: UseCases) -> None:
    broken = append("old", new_message("m", status="INTERRUPTED"))
    await history.streams.check(caller(), broken)
    await history.streams.keep(caller(), broken, patient=False)
    await history.streams.store(caller(), append("old", new_message("m")))


async def _concurrently(history: UseCases) -> None:
    await asyncio.gather(
        *[history.messages.append(caller(), append(session_id)) for session_id in ("old", "other") * 4]
    )


APPENDS: dict[str, Callable[[UseCases], Awaitable[object]]] = {
    "of a message": lambda history: history.messages.append(caller(), append("old")),
    "of several messages": lambda history: history.messages.append(
        caller(), append("old", new_message(pinned=True), new_message(), expected_last_sequence=3)
    ),
    "to a new session": lambda history: history.messages.append(
        caller(), append("new", new_session=SessionContent())
    ),
    "with a change of the state": _append_with_state,
    "in place of other messages": _replace,
    "of a stream": _stream,
    "by concurrent calls": _concurrently,
}


@pytest.mark.parametrize("name", APPENDS)
async def test_an_append_writes_one_session(
    history: UseCases, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction writes one session, no statement writes two tables, and messages are values."""
    for session_id in ("old", "other"):
        first = append(session_id, *[new_message()] * 3, new_session=SessionContent())
        await history.messages.append(caller(), first)
    sent = _record_transactions(monkeypatch)
    await APPENDS[name](history)
    keys = defaultdict(set)
    written = set()
    for statement, transaction in sent:
        tree = distribution.parse(statement.prepared_text)
        assert not distribution.not_appending(tree), statement.text
        for access in distribution.accesses(tree):
            if access.write:
                written.add(access.table)
                keys[transaction] |= {statement.parameters[statement.names[n - 1]] for n in access.parameters}
    assert {"sessions", "messages"} <= written <= distribution.TABLES
    assert all(len(of_transaction) == 1 for of_transaction in keys.values()), keys
    expected = {SessionRef.of(caller(), session_id).session_key for session_id in ("old", "other", "new")}
    assert set.union(*keys.values()) <= expected


def _record_transactions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Statement, str]]:
    """Record the statements that succeed, each with the id of its transaction."""
    sent: list[tuple[Statement, str]] = []
    send = Connection.fetch

    async def fetch(connection: Connection, query: Any, parameters: Any, **options: Any) -> Any:
        rows = await send(connection, query, parameters, **options)
        transaction = f"statement {len(sent)}"
        if connection.info.transaction_status == TransactionStatus.INTRANS:
            ((transaction,),) = await send(connection, "select pg_current_xact_id()::text", {})
        sent.append((Statement(str(query), dict(parameters)), transaction))
        return rows

    monkeypatch.setattr(Connection, "fetch", fetch)
    return sent
