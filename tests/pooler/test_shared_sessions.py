"""Servers that share sessions of Postgres never run another server's statement in place of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from support.databases import execute
from support.processes import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Server

SESSIONS = 40
ROUNDS = 5


def _call(stub: Any, method: str, **fields: Any) -> Any:
    """Begin a call."""
    request = getattr(pb, f"{method}Request")(**fields)
    return getattr(stub, method).future(request, timeout=PATIENCE_SECONDS)


def _append(stub: Any, session_id: str) -> Any:
    message = mpb.Message(role=mpb.ROLE_USER, content=session_id)
    return _call(stub, "AppendMessage", session_id=session_id, message=message)


def test_reads_while_others_remove(start: Callable[..., Server], pooled_url: str, database_url: str) -> None:
    """Servers that begin with different calls each run the statements of their own calls.

    What was only read is still there, and no answer is another session's.
    """
    flags = ("--database-url", pooled_url, "--pooler", "transaction", "--workers", "1")
    servers = [start(*flags) for _ in range(3)]
    reading, removing, appending = (server.stub() for server in servers)
    kept, gone = ([f"{kind}-{number:02}" for number in range(SESSIONS)] for kind in ("kept", "gone"))
    for created in [_call(appending, "CreateSession", session_id=one, session={}) for one in kept + gone]:
        created.result()
    for number in range(ROUNDS):
        appended = [_append(appending, one) for one in kept]
        removed = [
            _call(removing, "DeleteSession", session_id=one, purge=True) for one in gone[number::ROUNDS]
        ]
        read = [_call(reading, "GetSession", session_id=one) for one in kept]
        windows = [_call(reading, "GetHistory", session_id=one) for one in kept]
        assert [call.result().message.content for call in appended] == kept
        assert [call.result().session.session_id for call in read] == kept
        for one, window in zip(kept, windows, strict=True):
            assert {message.content for message in window.result().history.messages} <= {one}
        for call in removed:
            call.result()
    found = execute(database_url, "select session_id, message_count from sessions order by session_id")
    assert found == [(one, ROUNDS) for one in kept]
