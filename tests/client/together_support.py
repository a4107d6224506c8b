"""What a server was asked by a client that makes several calls in one request, and what it may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import Message, Role
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from fake_server import FakeServer

HELLO = Message(role=Role.USER, content="hello")


def requests(fake: FakeServer) -> list[list[str]]:
    """Return what each request to a server was: the sessions of several, or of one."""
    return [
        [entry.append_message.session_id or entry.get_history.session_id for entry in call.request.calls]
        if isinstance(call.request, pb.MultiCallRequest)
        else [call.request.session_id]
        for call in fake.calls
    ]


def outcomes(*session_ids: str) -> pb.MultiCallResponse:
    """Return an answer to calls, by their order; of an append with the session's id."""
    return pb.MultiCallResponse(
        outcomes=[
            {"index": index, "append_message": {"session_id": session_id, "message": {"role": 3}}}
            for index, session_id in enumerate(session_ids)
        ]
    )
