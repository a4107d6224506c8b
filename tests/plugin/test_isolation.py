"""Each test gets an empty server, whatever other tests do before it and beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugin_support import Project

pytest_plugins = "pytester"

SAME_IDS = """
import os
import psycopg
import pytest
from sessionhistory import AsyncSessionHistoryClient, Message, Role, SessionFields

MESSAGE = Message(role=Role.USER, content="hello", message_id="m")

@pytest.mark.parametrize("turn", range(3))
def test_with_the_client(session_history_client, turn):
    assert list(session_history_client.list_sessions(show_deleted=True)) == []
    stored = session_history_client.append_message("s", MESSAGE, user_id="ada", new_session=SessionFields())
    assert stored.session_created and stored.last_sequence == 1

@pytest.mark.parametrize("turn", range(3))
@pytest.mark.asyncio
async def test_with_the_asyncio_client(session_history_server, turn):
    async with AsyncSessionHistoryClient(session_history_server.target) as client:
        stored = await client.append_message("s", MESSAGE, user_id="bob", new_session=SessionFields())
        assert stored.session_created and stored.last_sequence == 1
        await client.delete_session("s")

def test_in_the_tables(session_history_server, monkeypatch):
    monkeypatch.delenv("PGSERVICE")
    monkeypatch.delenv("PGOPTIONS")
    with psycopg.connect(session_history_server.database_url) as connection:
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'"
        ).fetchall()
        kept = {"api_keys", "credential_state", "signing_keys"}
        left = {table for table, in tables} - kept
        assert len(left) >= 2
        for table in left:
            assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)

@pytest.mark.parametrize("turn", range(3))
def test_the_address(session_history_target, session_history_server, turn):
    assert session_history_server.target == session_history_target
    with open("targets", "a") as file:
        print(session_history_target, os.getpid(), file=file)
"""

LEFT_CALLS = """
import threading
import time
import grpc
import psycopg
from sessionhistory.v1 import message_pb2
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1.session_history_service_pb2_grpc import SessionHistoryServiceStub

WAITING = (
    "select count(*) from pg_stat_activity"
    " where wait_event_type = 'Lock' and datname = current_database()"
)
left = []

def test_1_leaves_calls(session_history_server):
    stub = SessionHistoryServiceStub(grpc.insecure_channel(session_history_server.target))
    append = stub.AppendMessage
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content="hello")
    request = pb.AppendMessageRequest(session_id="s", message=message, new_session={})
    append(request, timeout=30)
    blocker = psycopg.connect(session_history_server.database_url)
    blocker.execute("select from sessions for update")
    # More than may wait for one session in the database: the rest waits in the server.
    left.extend(append.future(request, timeout=30) for _ in range(30))
    # A call that comes after them on the same connection: they have reached the server.
    stub.GetSession(pb.GetSessionRequest(session_id="s"), timeout=30)
    with psycopg.connect(session_history_server.database_url, autocommit=True) as watcher:
        while watcher.execute(WAITING).fetchone() < (2,):
            time.sleep(0.01)
    threading.Timer(0.3, blocker.close).start()

def test_2_finds_nothing(session_history_client):
    assert list(session_history_client.list_sessions()) == []
    assert sorted(call.result().message.sequence for call in left) == list(range(2, 32))
    assert list(session_history_client.list_sessions()) == []
"""

OPEN_TRANSACTION = """
import psycopg
left = []

def test_1_leaves_a_transaction(session_history_server):
    left.append(psycopg.connect(session_history_server.database_url))
    left[0].execute("delete from sessions")

def test_2_cannot_begin(session_history_server):
    pass

def test_3_leaves_nothing():
    left.pop().close()

def test_4_begins(session_history_server):
    pass
"""


@pytest.fixture
def same_ids(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Tests that use the same ids, in an environment that names other servers and databases."""
    monkeypatch.setenv("SESSION_HISTORY_DATABASE_URL", "postgresql://127.0.0.1:1/production")
    monkeypatch.setenv("PGSERVICE", "unknown")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    project.write(test_same_ids=SAME_IDS)
    return project


def test_tests_that_use_the_same_ids(same_ids: Project) -> None:
    """Such tests do not see each other's data with either client; the whole run has one server."""
    same_ids.run().assert_outcomes(passed=10)
    assert len(same_ids.notes("targets")) == 3
    assert len(set(same_ids.notes("targets"))) == 1


def test_workers_have_servers_of_their_own(same_ids: Project) -> None:
    """Concurrent tests in workers of pytest-xdist that use the same ids do not see each other's data."""
    same_ids.run("-n", "2", "--dist", "each").assert_outcomes(passed=20)
    lines = {tuple(line.split()) for line in same_ids.notes("targets")}
    assert len(lines) == len(dict(lines)) == 2


def test_calls_that_a_test_has_left_are_waited_for(project: Project) -> None:
    """Calls that a test has left open are finished before the next test, also those that wait."""
    project.write(test_left_calls=LEFT_CALLS)
    project.run("-p", "no:randomly").assert_outcomes(passed=2)


def test_a_transaction_that_a_test_has_left(project: Project) -> None:
    """A transaction that a test has left open fails only the next test, with one line that names it."""
    project.write(test_transaction=OPEN_TRANSACTION)
    result = project.run("-p", "no:randomly", "-q")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        "*the Session History server could not be emptied: a transaction on its database is still open*"
    )
