"""The model's calls as requests to the real service, and its answers as the model's outcomes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
from history_model import Stored

from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb
from support.errors import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from history_model import Call, Outcome

MAX_MESSAGES = 1_000


async def make(stub: Any, session_id: str, call: Call, *, history: bool = False) -> tuple[Outcome, Any]:
    """Make a call; return its outcome, and the window of an append that asks for it."""
    method, request = _REQUESTS[call.kind](*call.arguments)
    _name(request, session_id, call.user)
    if history:
        request.history.max_messages = MAX_MESSAGES
    try:
        answer = await getattr(stub, method)(request, timeout=30)
    except grpc.aio.AioRpcError as error:
        failure = failure_of(error)
        assert failure.code in _REFUSALS, failure
        return ("refused", failure.reason), None
    return ("ok", *_ANSWERS[call.kind](answer)), answer.history if history else None


def window_of(history: hpb.History) -> Outcome:
    """Return the outcome of a window."""
    return ("ok", tuple(message.content for message in history.messages), history.last_sequence)


_REFUSALS = {
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
}


def _name(request: Any, session_id: str, user: str) -> None:
    request.session_id, request.user_id = session_id, user


def _append(
    new: tuple[tuple[str, str], ...],
    expected: int | None,
    creates: bool,  # noqa: FBT001 - a call's arguments are positional
) -> tuple[str, Any]:
    messages = _messages(new)
    several = len(messages) > 1
    request: Any = pb.AppendMessagesRequest() if several else pb.AppendMessageRequest()
    if several:
        request.messages.extend(messages)
    else:
        request.message.CopyFrom(messages[0])
    if expected is not None:
        request.expected_last_sequence = expected
    if creates:
        request.new_session.SetInParent()
    return ("AppendMessages" if several else "AppendMessage"), request


def _messages(new: tuple[tuple[str, str], ...]) -> list[mpb.Message]:
    return [
        mpb.Message(message_id=message_id, role=mpb.ROLE_USER, content=content) for message_id, content in new
    ]


def _replace(after: int, new: tuple[tuple[str, str], ...]) -> tuple[str, Any]:
    request = pb.AppendMessagesRequest(messages=_messages(new), keep_through_sequence=after)
    return "AppendMessages", request


def _compact(through: int) -> tuple[str, Any]:
    summary = mpb.Message(content=f"through {through}", message_id=f"summary-{through}")
    return "CompactHistory", pb.CompactHistoryRequest(through_sequence=through, message=summary)


def _patch(value: int, expected: int | None) -> tuple[str, Any]:
    request = pb.UpdateStateRequest(patch=json.dumps({"value": value}))
    if expected is not None:
        request.expected_state_version = expected
    return "UpdateState", request


_REQUESTS: dict[str, Callable[..., tuple[str, Any]]] = {
    "create": lambda: ("CreateSession", pb.CreateSessionRequest(allow_existing=True)),
    "append": _append,
    "replace": _replace,
    "truncate": lambda keep: ("TruncateMessages", pb.TruncateMessagesRequest(keep_through_sequence=keep)),
    "compact": _compact,
    "fork": lambda: ("ForkSession", pb.ForkSessionRequest()),
    "patch": _patch,
    "delete": lambda: ("DeleteSession", pb.DeleteSessionRequest()),
    "undelete": lambda: ("UndeleteSession", pb.UndeleteSessionRequest()),
    "purge": lambda: ("DeleteSession", pb.DeleteSessionRequest(purge=True)),
    "get session": lambda: ("GetSession", pb.GetSessionRequest()),
    "get message": lambda message_id: ("GetMessage", pb.GetMessageRequest(message_id=message_id)),
    "list messages": lambda: ("ListMessages", pb.ListMessagesRequest(page_size=MAX_MESSAGES)),
    "window": lambda: ("GetHistory", pb.GetHistoryRequest(max_messages=MAX_MESSAGES)),
}


def _appended(answer: Any) -> Outcome:
    messages = answer.messages if hasattr(answer, "messages") else [answer.message]
    places = tuple(message.sequence for message in messages)
    return places, answer.last_sequence, answer.message_count, answer.session_created


def _shown(answer: Any) -> Outcome:
    return answer.session.last_sequence, answer.session.message_count


def _state(session: spb.Session) -> Outcome:
    return session.state_version, json.loads(session.state or "{}").get("value", 0)


def _stored(message: mpb.Message) -> Stored:
    return Stored(message.sequence, message.message_id, message.content)


_ANSWERS: dict[str, Callable[[Any], Outcome]] = {
    "create": lambda answer: (answer.created,),
    "append": _appended,
    "replace": lambda answer: _appended(answer)[:-1],
    "truncate": lambda answer: (answer.removed_message_count, answer.last_sequence, answer.message_count),
    "compact": lambda answer: (answer.summary.through_sequence, answer.summary.message_count),
    "fork": lambda answer: (*_shown(answer), answer.session.compacted_through_sequence),
    "patch": lambda answer: _state(answer.session),
    "delete": _shown,
    "undelete": _shown,
    "purge": _shown,
    "get session": lambda answer: (
        *_shown(answer),
        *_state(answer.session),
        answer.session.compacted_through_sequence,
    ),
    "get message": lambda answer: _stored(answer.message),
    "list messages": lambda answer: (tuple(map(_stored, answer.messages)),),
    "window": lambda answer: window_of(answer.history)[1:],
}
