"""Ann's calls of every RPC about sessions, and the session with which Bob takes over her id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rpc_support import append, call, request, said, update

from sessionhistory.v1 import append_message_stream_pb2 as stream_pb
from sessionhistory.v1 import history_pb2 as hpb
from sessionhistory.v1 import message_pb2 as mpb
from sessionhistory.v1 import session_history_service_pb2 as pb
from sessionhistory.v1 import session_pb2 as spb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.service import Service

SECRET = "a secret of Bob's"

FIRST = said("first", message_id="m1")
SECOND = said("second", message_id="m2")
BROKEN = said("brok", message_id="m3", role=mpb.ROLE_ASSISTANT, status=mpb.MESSAGE_STATUS_INTERRUPTED)
NEW = said("new", message_id="new")
SUMMARY = said("in short", message_id="summary", role=mpb.ROLE_SYSTEM)
HISTORY = hpb.HistoryOptions(max_messages=50)


async def prepare(service: Service) -> None:
    """Create Ann's session ``s`` with a fork, and Bob's ``other`` with messages of the same ids."""
    for name, owner, messages in (
        ("s", "ann", (FIRST, SECOND, BROKEN)),
        ("other", "bob", (said(SECRET, message_id="m1"), said(SECRET), SECOND, BROKEN)),
    ):
        new = spb.SessionFields(state='{"count":1}')
        await append(service, name, *messages, user_id=owner, new_session=new)
        await call(service, "CompactHistory", name, through_sequence=1, message=SUMMARY)
    await update(service, "other", "title", title=SECRET)
    await call(service, "ForkSession", "s", new_session_id="fork")


class Case(NamedTuple):
    """A call of a method, and changes to the session before the call."""

    method: str
    request: Any
    before: Callable[[Service], Awaitable[object]] | None = None


def _case(method: str, before: Callable[[Service], Awaitable[object]] | None = None, **fields: Any) -> Case:
    return Case(method, request(method, "s", "ann", **fields), before)


async def _delete(service: Service) -> None:
    await call(service, "DeleteSession", "s")


async def _without_fork(service: Service) -> None:
    await call(service, "DeleteSession", "fork", purge=True)


async def _complete(service: Service) -> None:
    await update(service, "s", "status", status=spb.SESSION_STATUS_COMPLETED)


async def _reset(service: Service) -> None:
    await call(service, "ResetSession", "s", new_session_id="next")


def _stream(message: mpb.Message) -> Case:
    header = stream_pb.AppendMessageStreamHeader(session_id="s", user_id="ann", message=message)
    header.message.ClearField("content")
    header.message.ClearField("status")
    pieces = (
        stream_pb.AppendMessageStreamRequest(header=header),
        stream_pb.AppendMessageStreamRequest(delta={"text": message.content}),
        stream_pb.AppendMessageStreamRequest(finish={}),
    )
    return Case("AppendMessageStream", pieces)


_FORK = {"new_session_id": "fork"}
_NEXT = {"new_session_id": "next"}
_MADE = {"new_session": spb.SessionFields()}
_STATE = {"state_patch": '{"count":2}'}

CASES = {
    "create": Case("CreateSession", request("CreateSession", "s", "ann")),
    "create, existing": Case("CreateSession", request("CreateSession", "s", "ann", allow_existing=True)),
    "create, held": Case("CreateSession", request("CreateSession", "s", "ann"), _delete),
    "get session": _case("GetSession"),
    "update": _case("UpdateSession"),
    "update, other etag": _case("UpdateSession", etag="1-1"),
    "state": _case("UpdateState"),
    "state, other version": _case("UpdateState", expected_state_version=77),
    "list sessions": Case("ListSessions", request("ListSessions", "", "ann")),
    "active session": Case("GetActiveSession", pb.GetActiveSessionRequest(user_id="ann"), _without_fork),
    "active session, or new": Case(
        "EnsureActiveSession", request("EnsureActiveSession", "made", "ann"), _without_fork
    ),
    "delete": _case("DeleteSession"),
    "purge": _case("DeleteSession", purge=True),
    "purge, or missing": _case("DeleteSession", purge=True, allow_missing=True),
    "undelete": _case("UndeleteSession", _delete),
    "undelete, live": _case("UndeleteSession"),
    "append": _case("AppendMessage", message=NEW),
    "append, closed": _case("AppendMessage", _complete, message=NEW),
    "append, expected": _case("AppendMessage", message=NEW, expected_last_sequence=2),
    "append, made": _case("AppendMessage", message=NEW, **_MADE),
    "append, made, held": _case("AppendMessage", _delete, message=NEW, **_MADE),
    "append, history": _case("AppendMessage", message=NEW, history=HISTORY),
    "append, again": _case("AppendMessage", message=SECOND),
    "append, again, history": _case("AppendMessage", message=SECOND, history=HISTORY),
    "append, other content": _case("AppendMessage", message=said("other", message_id="m2")),
    "append, state": _case("AppendMessage", message=NEW, **_STATE),
    "append, state, again": _case("AppendMessage", message=SECOND, **_STATE),
    "batch": _case("AppendMessages", messages=[NEW, said("last", message_id="last")]),
    "batch, again": _case("AppendMessages", messages=[FIRST, SECOND]),
    "batch, mixed": _case("AppendMessages", messages=[FIRST, NEW]),
    "replace": _case("AppendMessages", messages=[NEW], keep_through_sequence=1),
    "replace, again": _case("AppendMessages", messages=[SECOND], keep_through_sequence=1),
    "replace, state": _case("AppendMessages", messages=[NEW], keep_through_sequence=1, **_STATE),
    "stream": _stream(said("streamed", message_id="streamed")),
    "stream, again": _stream(SECOND),
    "stream, interrupted": _stream(said("broken no more", message_id="m3", role=mpb.ROLE_ASSISTANT)),
    "get message by id": Case("GetMessage", request("GetMessage", "s", "ann", message_id="m1")),
    "get message by sequence": _case("GetMessage"),
    "window": _case("GetHistory"),
    "window of turns": _case("GetHistory", max_turns=5),
    "list messages": _case("ListMessages"),
    "list messages, backwards": _case("ListMessages", order_by=pb.MESSAGE_ORDER_SEQUENCE_DESC, page_size=2),
    "truncate": _case("TruncateMessages"),
    "truncate, too far": _case("TruncateMessages", keep_through_sequence=9),
    "compact": _case("CompactHistory", through_sequence=2, message=said("shorter", message_id="next")),
    "compact, again": _case("CompactHistory", message=SUMMARY),
    "compact, expected": _case("CompactHistory", message=NEW, expected_compacted_through_sequence=9),
    "fork": _case("ForkSession", new_session_id="another"),
    "fork, too far": _case("ForkSession", new_session_id="another", through_sequence=9),
    "fork, taken": _case("ForkSession", **_FORK),
    "fork, existing": _case("ForkSession", **_FORK, allow_existing=True),
    "fork, held": Case("ForkSession", request("ForkSession", "fork", "ann", new_session_id="s"), _delete),
    "reset": _case("ResetSession", **_NEXT, keep_messages=True),
    "reset, again": _case("ResetSession", _reset, **_NEXT),
    "recount": _case("RecountTokens"),
}
