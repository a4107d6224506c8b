"""The requests that a server got from a client that shares requests, and answers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory import Message, Role
from sessionhistory.v1 import session_history_service_pb2 as pb

if TYPE_CHECKING:
    from fake_server import FakeServer

HELLO = Message(role=Role.USER, content="hello")


def requests(fake: FakeServer) -> list[list[str]]:
    """Return the sessions of each request to a server: several for MultiCall, else one."""
    return [
        [entry.append_message.session_id or entry.get_history.session_id for entry in call.request.calls]
        if isinstance(call.request, pb.MultiCallRequest)
        else [call.request.session_id]
        for call in fake.calls
    ]


def outcomes(*session_ids: str) -> pb.MultiCallResponse:
    """Return outcomes of appends in the order of the calls, each with its session's id."""
    return pb.MultiCallResponse(
        outcomes=[
            {"index": index, "append_message": {"session_id": session_id, "message": {"role": 3}}}
            for index, session_id in enumerate(session_ids)
        ]
    )
