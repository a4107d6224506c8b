"""`session-history serve --limits` as processes that share a database, end, and are killed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.databases import execute
from support.errors import failure_of
from support.processes import run
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Server

    Start = Callable[..., Server]

_STORED = """
select coalesce(user_id, ''), count(*), sum(
    (select coalesce(sum(size_bytes), 0) from messages where messages.session_key = sessions.session_key)
)::bigint
from sessions group by 1 order by 1
"""
_COUNTED = "select user_id, sessions, bytes from user_usage order by 1"
_OF_TENANT = "select sessions from tenant_usage where tenant_id = 'default'"


def _append(stub: Any, session_id: str, user_id: str = "") -> None:
    stub.AppendMessage(
        pb.AppendMessageRequest(
            session_id=session_id,
            user_id=user_id,
            message=mpb.Message(role=mpb.ROLE_USER, content="some words"),
            new_session=spb.SessionFields(),
        )
    )


def _reason_of_append(stub: Any, session_id: str, user_id: str) -> str:
    """Append to a new session; return the reason if it is refused."""
    try:
        _append(stub, session_id, user_id)
    except grpc.RpcError as error:
        return failure_of(error).reason
    return ""


def _is_counted(url: str) -> bool:
    return execute(url, _COUNTED) == execute(url, _STORED)


def test_two_servers_share_the_counts(start: Start, database_url: str) -> None:
    """Within seconds each worker refuses what all of them together have used up; a stop writes the rest."""
    done = run("limits", "set", "tenant_sessions=20", "--database-url", database_url)
    assert done.returncode == 0, done.stderr
    servers = [start("--limits", "--workers", "2", "--database-url", database_url) for _ in range(2)]
    stubs = [server.stub() for server in servers]

    numbers = iter(range(10_000))

    def are_full() -> bool:
        """Whether each server refuses one more session."""
        reasons = {_reason_of_append(stub, f"s{next(numbers)}", "ada") for stub in stubs}
        return reasons == {"LIMIT_REACHED"}

    eventually(are_full)
    eventually(lambda: _is_counted(database_url))
    before = execute(database_url, "select count(*) from sessions")
    assert all(are_full() for _ in range(5))
    assert execute(database_url, "select count(*) from sessions") == before
    for number in range(10):
        _append(stubs[number % 2], "s0", "ada")
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    assert _is_counted(database_url)


@pytest.mark.one_machine("the test locks a table, which Citus has in several copies")
def test_a_recount_finds_what_a_killed_server_did_not_write(start: Start, database_url: str) -> None:
    """A new server recounts when the last recount is ten minutes old."""
    server = start("--limits", "--workers", "1", "--database-url", database_url)
    stub = server.stub()
    _append(stub, "a", "ada")
    eventually(lambda: _is_counted(database_url))
    eventually(lambda: execute(database_url, "select claim from usage_recounts"))
    with psycopg.connect(database_url) as connection:
        connection.execute("lock table tenant_usage in exclusive mode")
        _append(stub, "a", "ada")
        _append(stub, "b")
        server.signal(signal.SIGKILL)
        server.wait()
    assert not _is_counted(database_url)
    execute(database_url, "update usage_recounts set active_time = now() - interval '10 minutes'")
    start("--limits", "--workers", "2", "--database-url", database_url).stub()
    eventually(lambda: _is_counted(database_url))
    assert execute(database_url, _OF_TENANT) == [(2,)]
