"""Every answer is a snapshot, even if another user takes over the id between two statements."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict
from psycopg.errors import LockNotAvailable
from rpc_support import METHODS, request, said
from snapshot_cases import CASES, SECRET, Case, prepare

from sessionhistory_server.model.caller import DEFAULT_TENANT
from sessionhistory_server.store.postgres.connection import Connection
from sessionhistory_server.store.schema import metadata
from sessionhistory_server.store.session_ref import session_key
from support.databases import execute
from support.errors import failure_of
from support.service import Service, default_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from sqlalchemy import Table

    from support.databases import Databases

TABLES = ("sessions", "messages", "summaries")
NOT_OF_A_SESSION = {"CallStream"}
NEVER = 1_000
STATEMENTS = 20
"""More statements than any call sends."""

_OF_THE_MOMENT = ("Time", "etag")

_KEY, _OTHER_KEY = (session_key(DEFAULT_TENANT, session_id) for session_id in ("s", "other"))


def _take_over(table: Table) -> str:
    """Return SQL that copies the rows of the other session to the session ``s``."""
    values = {name: name for name in table.columns.keys()}  # noqa: SIM118 - the columns themselves have no names
    values["session_key"] = f"'{_KEY}'::uuid"
    if "session_id" in values:
        values["session_id"] = "'s'"
    return (
        f"insert into {table.name} ({', '.join(values)})"
        f" select {', '.join(values.values())} from {table.name} where session_key = '{_OTHER_KEY}'"
    )


SWAP = (
    *(f"delete from {table} where session_key = '{_KEY}'" for table in TABLES),
    *(_take_over(metadata.tables[table]) for table in TABLES),
    *(f"delete from {table} where session_key = '{_OTHER_KEY}'" for table in TABLES),
)


DELETE = f"""
update sessions set delete_time = now(), purge_time = now() + interval '1 day' where session_key = '{_KEY}'
"""


APPEND = (
    f"update sessions set last_sequence = 4, message_count = 4 where session_key = '{_KEY}'",
    f"""
    insert into messages select (jsonb_populate_record(messages, '{{"sequence": 4, "message_id": "new"}}')).*
    from messages where session_key = '{_KEY}' and message_id = 'm2'
    """,
)


class Interruption:
    """Changes the sessions once, before one of the service's statements."""

    def __init__(self, url: str, before_statement: int, does: Sequence[str]) -> None:
        self.statements = 0
        self._url = url
        self._before = before_statement
        self._does = does

    def count(self) -> None:
        """Count a statement that is about to be sent."""
        if self.statements == self._before:
            self._interrupt()
        self.statements += 1

    def _interrupt(self) -> None:
        with psycopg.connect(self._url) as connection:
            try:
                # In this way the timeout also holds on the workers of Citus.
                connection.execute("set local citus.propagate_set_commands = 'local'")
                connection.execute("set local lock_timeout = '50ms'")
                for statement in self._does:
                    connection.execute(statement)
            except LockNotAvailable:  # the service locks the session, so that no purge can come in between
                connection.rollback()


@contextmanager
def interrupting(
    monkeypatch: pytest.MonkeyPatch, url: str, before_statement: int, does: Sequence[str] = SWAP
) -> Iterator[Interruption]:
    """Interrupt before the statement of the store about sessions that has this index."""
    interruption, send = Interruption(url, before_statement, does), Connection.fetch

    async def fetch(connection: Connection, query: Any, parameters: Any, **options: Any) -> Any:
        if any(table in query for table in TABLES):
            interruption.count()
        return await send(connection, query, parameters, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "fetch", fetch)
        yield interruption


async def _outcome(service: Service, case: Case) -> Any:
    """Return a call's answer without times and etags, or its error."""
    method = getattr(service.stub, case.method)
    try:
        answer = await method(iter(case.request) if isinstance(case.request, tuple) else case.request)
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        assert failure.code is not None
        return failure.code.name, failure.reason, "purge_time" in failure.metadata
    return _timeless(MessageToDict(answer))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if not name.endswith(_OF_THE_MOMENT)}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


@pytest_asyncio.fixture(scope="module")
async def served(databases: Databases, way: Callable[[str], str]) -> AsyncIterator[tuple[Service, str]]:
    """One service for all cases, and the URL of its database."""
    with databases.migrated() as url:
        async with Service.running(default_settings(), way(url)) as service:
            await service.wait_until_serving()
            yield service, url


async def _begin(service: Service, url: str, case: Case) -> None:
    await asyncio.to_thread(execute, url, *(f"delete from {table}" for table in TABLES))
    await prepare(service)
    if case.before:
        await case.before(service)


@pytest.mark.parametrize("name", CASES)
async def test_an_answer_is_of_before_or_of_after(
    served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A call during which the id changes its owner answers as before the change, or as after it.

    A window that was to come with an append is left out if the session is gone by then.
    """
    case = CASES[name]
    outcomes: list[Any] = []
    statements = 0
    for before in (NEVER, *range(STATEMENTS)):
        if before >= statements and outcomes[1:]:
            break
        await _begin(*served, case)
        with interrupting(monkeypatch, served[1], before) as interruption:
            outcomes.append(await _outcome(served[0], case))
        statements = interruption.statements if before == NEVER else max(interruption.statements, statements)
    first, last, *others = outcomes
    assert first != last or name in SAME
    assert SECRET not in repr(outcomes)
    assert "INTERNAL" not in repr(outcomes)
    allowed = [first, last]
    if isinstance(first, dict) and "history" in first:
        allowed.append({key: value for key, value in first.items() if key != "history"})
    for outcome in others:
        assert outcome in allowed


async def test_an_append_that_is_stored_says_so(
    served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored append returns its message and counters; the window is left out if the session is gone."""
    case = CASES["append, history"]
    outcomes = []
    for before in (1, 2):  # an append is one statement, or two if the sessions are distributed
        await _begin(*served, case)
        with interrupting(monkeypatch, served[1], before):
            outcomes.append(await _outcome(served[0], case))
    assert {(one["message"]["content"], one["lastSequence"]) for one in outcomes} == {("new", "4")}
    assert not all("history" in one for one in outcomes)


async def test_what_is_deleted_meanwhile_is_restored(
    served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """UndeleteSession finds a session that was deleted after the call began."""
    case = CASES["undelete, live"]
    await _begin(*served, case)
    with interrupting(monkeypatch, served[1], 1, (DELETE,)):
        assert (await _outcome(served[0], case))["session"]["sessionId"] == "s"


@pytest.mark.parametrize("before", range(4))
async def test_a_retry_counts_its_own_message(
    served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """A retry with an outdated expectation is refused, or gets counters that include its message."""
    fields = {"message": said("second", message_id="new"), "expected_last_sequence": 2}
    case = Case("AppendMessage", request("AppendMessage", "s", "ann", **fields))
    await _begin(*served, case)
    with interrupting(monkeypatch, served[1], before, APPEND):
        outcome = await _outcome(served[0], case)
    if isinstance(outcome, dict):
        assert (outcome["message"]["sequence"], outcome["lastSequence"]) == ("4", "4")
        assert outcome["messageCount"] == "4"
    else:
        assert outcome[:2] == ("ABORTED", "SEQUENCE_MISMATCH")


SAME = {"create"}
"""Methods whose answer does not depend on the owner."""


def test_every_method_is_in_the_table() -> None:
    """Every method has its cases in the table."""
    methods = {*METHODS, "AppendMessageStream"} - NOT_OF_A_SESSION
    assert {case.method for case in CASES.values()} == methods
